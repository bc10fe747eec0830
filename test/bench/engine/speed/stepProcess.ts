import { createInterface } from "node:readline";
import { execa } from "execa";

/** A process that answers each line of its input with one line of JSON; the first line says that it is ready. */
export class StepProcess {
  readonly #process: ReturnType<typeof start>;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[], env: Readonly<NodeJS.ProcessEnv>, cancelSignal: AbortSignal) {
    this.#process = start(command, args, env, cancelSignal);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async ask<Answer>(line: string): Promise<Answer> {
    this.#process.stdin.write(`${line}\n`);
    return this.next();
  }

  async next<Answer>(): Promise<Answer> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`A process of the bench ended early: ${(await this.#process).shortMessage}`);
    return JSON.parse(value) as Answer;
  }

  async end(): Promise<void> {
    this.#process.stdin.end();
    await this.#process;
  }
}

const start = (command: string, args: readonly string[], env: Readonly<NodeJS.ProcessEnv>, cancelSignal: AbortSignal) =>
  execa(command, args, { env, cancelSignal, stderr: "inherit", buffer: false, reject: false });
