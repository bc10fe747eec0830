import { rename, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { type FileSystem, type FileWriter, hostFileSystem } from "../../shared/checkpoint/fileSystem.ts";

/** What happens at one operation. */
export type Fault =
  /** The process dies before the operation, or half-way through a write: nothing runs any more, not even clean-up. */
  | { readonly kind: "crash" }
  /** Power is lost before the operation: the process dies; bytes and renames that were not synced are gone. */
  | { readonly kind: "powerLoss" }
  /** The operation fails with this errno; a write has written half of its bytes by then. */
  | { readonly kind: "error"; readonly code: string };

/** Thrown by every operation of a process that is dead. */
export class Crashed extends Error {}

/**
 * The host's file system with one fault, at the `at`-th changing operation, counted from 0. It only keeps account of
 * what has been synced, which is all that the simulated loss of power asks for and a hundred times as fast.
 */
export class FaultyFileSystem implements FileSystem {
  /** Operations so far, by name, for messages and for counting. */
  readonly operations: string[] = [];
  /** How often the fault has fired. */
  fired = 0;
  #dead = false;
  #unsynced = new Set<string>();
  #unsyncedRenames: { from: string; to: string }[] = [];

  readonly #open = new Set<FileWriter>();

  constructor(
    readonly at: number = Number.POSITIVE_INFINITY,
    readonly fault: Fault = { kind: "crash" },
  ) {}

  makeDirectory(path: string): Promise<string | undefined> {
    return this.#run(`makeDirectory ${path}`, () => hostFileSystem.makeDirectory(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run(`rename ${from} ${to}`, async () => {
      await hostFileSystem.rename(from, to);
      this.#unsyncedRenames.push({ from, to });
      this.#unsynced = new Set([...this.#unsynced].map((path) => path.replace(from, to)));
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run(`syncDirectory ${path}`, async () => {
      this.#unsyncedRenames = this.#unsyncedRenames.filter(({ to }) => dirname(to) !== path);
    });
  }

  remove(path: string): Promise<void> {
    return this.#run(`remove ${path}`, () => hostFileSystem.remove(path));
  }

  /** Changes nothing, so no fault happens here. */
  freeBytes(path: string): Promise<number | undefined> {
    return hostFileSystem.freeBytes(path);
  }

  async createFile(path: string): ReturnType<FileSystem["createFile"]> {
    const writer = await this.#run(`createFile ${path}`, async () => {
      const created = await hostFileSystem.createFile(path);
      this.#open.add(created);
      this.#unsynced.add(path);
      return created;
    });
    const close = () => (this.#open.delete(writer) ? writer.close() : Promise.resolve());
    return {
      write: (bytes) =>
        this.#run(
          `write ${path}`,
          () => writer.write(bytes),
          () => writer.write(bytes.subarray(0, bytes.length >> 1)),
        ),
      sync: () => this.#run(`sync ${path}`, async () => void this.#unsynced.delete(path)),
      close: () => this.#run(`close ${path}`, close, close),
    };
  }

  async #run<Result>(name: string, operation: () => Promise<Result>, half?: () => Promise<void>): Promise<Result> {
    if (this.#dead) throw new Crashed("The process is dead.");
    const mine = this.operations.length === this.at;
    this.operations.push(name);
    if (!mine) return operation();
    this.fired++;
    if (this.fault.kind === "error") {
      await half?.();
      throw Object.assign(new Error(`${this.fault.code}: injected`), { code: this.fault.code });
    }
    if (this.fault.kind === "crash") await half?.();
    if (this.fault.kind === "powerLoss") await this.#losePower();
    this.#dead = true;
    // The kernel closes the files of a dead process.
    await Promise.all([...this.#open].map((writer) => writer.close()));
    throw new Crashed(`The process died at ${name}.`);
  }

  async #losePower(): Promise<void> {
    for (const path of this.#unsynced) await truncate(path, 0).catch(() => undefined);
    for (const { from, to } of this.#unsyncedRenames.reverse()) await rename(to, from).catch(() => undefined);
  }
}
