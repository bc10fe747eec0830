import { relative } from "node:path";
import { type FileSystem, type FileWriter, hostFileSystem } from "../../shared/checkpoint/fileSystem.ts";

/** One operation that changes what is on disk; paths are relative to the root. */
export type Operation =
  | { readonly kind: "makeDirectory" | "syncDirectory" | "remove" | "create"; readonly path: string }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly kind: "write"; readonly path: string; readonly bytes: Uint8Array }
  | { readonly kind: "sync" | "close"; readonly path: string };

/** The host's file system, with an account of every operation. Files are not synced: what counts is that it was asked. */
export class RecordingFileSystem implements FileSystem {
  readonly operations: Operation[] = [];

  constructor(private readonly root: string) {}

  makeDirectory(path: string): Promise<string | undefined> {
    this.#note({ kind: "makeDirectory", path });
    return hostFileSystem.makeDirectory(path);
  }

  async createFile(path: string): Promise<FileWriter> {
    this.#note({ kind: "create", path });
    const writer = await hostFileSystem.createFile(path);
    return {
      write: (bytes) => {
        this.#note({ kind: "write", path, bytes: Uint8Array.from(bytes) });
        return writer.write(bytes);
      },
      sync: async () => this.#note({ kind: "sync", path }),
      close: () => {
        this.#note({ kind: "close", path });
        return writer.close();
      },
    };
  }

  rename(path: string, to: string): Promise<void> {
    this.#note({ kind: "rename", path, to: relative(this.root, to) });
    return hostFileSystem.rename(path, to);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#note({ kind: "syncDirectory", path });
  }

  remove(path: string): Promise<void> {
    this.#note({ kind: "remove", path });
    return hostFileSystem.remove(path);
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  #note(operation: Operation): void {
    this.operations.push({ ...operation, path: relative(this.root, operation.path) });
  }
}
