import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";

const program = fileURLToPath(new URL("./watcherProcess.js", import.meta.url));

/** A process that watches a run while it is told to; it has started, and loaded everything, before its first watch. */
export class Watcher {
  readonly #process;
  readonly #lines: AsyncIterator<string>;

  constructor(home: string, runId: string) {
    this.#process = execa(process.execPath, [program, home, runId], {
      reject: false,
      buffer: false,
      stderr: "inherit",
      stdin: "pipe",
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async turn(state: "on" | "off"): Promise<void> {
    this.#process.stdin.write(`${state}\n`);
    if ((await this.#lines.next()).done) throw new Error("The watching process has ended.");
  }

  async end(): Promise<void> {
    this.#process.stdin.end();
    await this.#process;
  }
}
