import { open } from "node:fs/promises";
import { StringDecoder } from "node:string_decoder";

const chunkBytes = 1 << 16;

/** Reads a growing file line by line. */
export class LineTail {
  readonly #path: string;
  readonly #decoder = new StringDecoder("utf8");
  #position = 0;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** The lines that have come since; `last` also gives a line without its line break. */
  async read(last: boolean): Promise<string[]> {
    const lines = (this.#rest + (await this.#readBytes())).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    if (last && this.#rest !== "") lines.push(this.#rest);
    return lines;
  }

  async #readBytes(): Promise<string> {
    const file = await open(this.#path, "r");
    try {
      // Shorter than what was read: its content was moved aside.
      if ((await file.stat()).size < this.#position) this.#position = 0;
      const buffer = Buffer.alloc(chunkBytes);
      let text = "";
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkBytes, this.#position);
        if (bytesRead === 0) return text;
        this.#position += bytesRead;
        text += this.#decoder.write(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
}
