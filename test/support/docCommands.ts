import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import type { CoordHome } from "./coord.ts";

/** How a command of a page ended. */
export interface DocResult {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** The commands of a page's sh blocks in their order, continuation lines joined. */
export function docCommands(page: string): string[] {
  const blocks = page.matchAll(/^ *```sh\n(.*?)^ *```$/gms);
  const lines = [...blocks].flatMap(([, block]) => block!.replaceAll(/\\\n\s*/g, "").split("\n"));
  return lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * A reader of a page of deploy/, who types its commands one after the other in a shell, the page's placeholders replaced.
 * `coord` and `npx coord` are the program that was built.
 */
export class DocReader {
  readonly text: string;
  /** Commands that have not been typed yet. */
  readonly #left: string[];
  readonly #programs: string;

  constructor(
    readonly page: string,
    private readonly options: {
      readonly home: CoordHome;
      /** Where the commands are typed. */
      readonly directory: string;
      readonly env: Readonly<Record<string, string>>;
      /** Other programs, by name: shell scripts. */
      readonly programs?: Readonly<Record<string, string>>;
    },
  ) {
    this.text = readFileSync(join(packageRoot(), "deploy", page), "utf8");
    this.#left = docCommands(this.text);
    this.#programs = options.home.path("doc-programs");
    mkdirSync(this.#programs, { recursive: true });
    mkdirSync(options.directory, { recursive: true });
    const coord = `exec ${process.execPath} ${join(packageRoot(), "dist", "coordinator", "cli", "main.js")} "$@"`;
    const npx = `[ "$1" = --yes ] && shift\n[[ "$1" =~ ^coord(@.*)?$ ]] && shift && ${coord}`;
    const programs = { coord, npx, ...options.programs };
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(this.#programs, name), `#!/usr/bin/env bash\n${script}\n`);
      chmodSync(join(this.#programs, name), 0o755);
    }
  }

  /** Types the page's next command, which must begin with `expected`; fails where it ends with another exit code than 0. */
  async type(
    expected: string,
    replaced: Readonly<Record<string, string>> = {},
    /** For a command that goes on until somebody ends it: resolves once its output shows this, and ends it. */
    until?: RegExp,
  ): Promise<DocResult> {
    const command = this.#left.shift();
    if (!command?.startsWith(expected)) throw new Error(`${this.page} goes on with ${command}, not with ${expected}.`);
    let typed = command;
    for (const [word, value] of Object.entries(replaced)) {
      if (!typed.includes(word)) throw new Error(`${JSON.stringify(command)} has no ${word}.`);
      typed = typed.replaceAll(word, value);
    }
    const { directory, env, home } = this.options;
    const child = execa("bash", ["-c", until ? `exec ${typed}` : typed], {
      cwd: directory,
      env: {
        ...env,
        COORD_HOME: home.home,
        PATH: `${this.#programs}${delimiter}${env["PATH"] ?? process.env["PATH"]}`,
      },
      reject: false,
      stdin: "ignore",
      all: true,
      timeout: 240_000,
    });
    if (until) {
      let text = "";
      child.all.setEncoding("utf8").on("data", (more: string) => {
        text += more;
        if (until.test(text)) child.kill("SIGKILL");
      });
    }
    const { all, exitCode, stderr, stdout } = await child;
    if (until ? !until.test(all) : exitCode !== 0) {
      throw new Error(`${JSON.stringify(typed)} of ${this.page} ended with ${exitCode}:\n${all}`);
    }
    return { exitCode, stdout, stderr };
  }

  /** Passes over the page's next command, which cannot be run everywhere; `why` is printed. */
  skip(expected: string, why: string): void {
    const command = this.#left.shift();
    if (!command?.startsWith(expected)) throw new Error(`${this.page} goes on with ${command}, not with ${expected}.`);
    process.stderr.write(`SKIPPED ${command}: ${why}\n`);
  }

  /** Path of a program that the commands find. */
  program(name: string): string {
    return join(this.#programs, name);
  }

  /** Commands of the page that were not typed. */
  get left(): readonly string[] {
    return this.#left;
  }
}
