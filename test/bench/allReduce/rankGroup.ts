import { execa } from "execa";

/** How to start one process of a group. */
export interface RankCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What a process is asked for: `rounds` all-reduces of `bytes` bytes of float32, one line of JSON. */
export interface RoundsRequest {
  readonly bytes: number;
  readonly rounds: number;
}

/** What it answers: begin and end of each round on the host's monotonic clock, in milliseconds, one line of JSON. */
export type RoundTimes = readonly (readonly [begin: number, end: number])[];

/** Processes that all-reduce together when they are told to, and are idle otherwise. */
export class RankGroup {
  readonly #ranks: readonly Rank[];

  private constructor(ranks: readonly Rank[]) {
    this.#ranks = ranks;
  }

  /** Starts all and waits until each has said that it is ready. */
  static async start(commands: readonly RankCommand[], signal: AbortSignal): Promise<RankGroup> {
    const group = new RankGroup(commands.map((command) => new Rank(command, signal)));
    try {
      await Promise.all(group.#ranks.map((rank) => rank.line()));
      return group;
    } catch (thrown) {
      await group.close();
      throw thrown;
    }
  }

  /** Milliseconds from the first process's begin of a round to the last one's end, for each round. */
  async rounds(request: RoundsRequest): Promise<number[]> {
    const times = await Promise.all(this.#ranks.map((rank) => rank.ask(request)));
    return Array.from({ length: request.rounds }, (_, round) => {
      const ofRound = times.map((rank) => rank[round]!);
      return Math.max(...ofRound.map(([, end]) => end)) - Math.min(...ofRound.map(([begin]) => begin));
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#ranks.map((rank) => rank.close()));
  }
}

/** One process that is spoken to line by line; it ends when its standard input does. */
export class Rank {
  readonly #process;
  readonly #lines: AsyncIterator<string>;

  constructor(
    private readonly command: RankCommand,
    signal: AbortSignal,
  ) {
    this.#process = execa(command.file, [...command.args], {
      env: command.env,
      cancelSignal: signal,
      reject: false,
      buffer: { stdout: false },
    });
    this.#lines = this.#process.iterable({ from: "stdout" })[Symbol.asyncIterator]() as AsyncIterator<string>;
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (!done) return value;
    const { exitCode, stderr } = await this.#process;
    throw new Error(`${this.command.args[0]} ended early with ${exitCode}:\n${stderr.slice(-2000)}`);
  }

  async ask(request: RoundsRequest): Promise<RoundTimes> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    return JSON.parse(await this.line()) as RoundTimes;
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    await this.#process;
  }
}
