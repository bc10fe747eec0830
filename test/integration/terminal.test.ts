import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const hasTmux = spawnSync("tmux", ["-V"]).status === 0;

/** A real terminal, 100 columns wide: a tmux server of its own. */
class Terminal {
  static #count = 0;
  readonly #server = `coord-test-${process.pid}-${Terminal.#count++}`;

  constructor(home: CoordHome) {
    const bin = join(packageRoot(), "node_modules", ".bin");
    const env = `PATH=${bin}:$PATH COORD_HOME=${home.home} TERM=xterm-256color PS1='$ '`;
    // A tmux inside another one would refuse to start.
    const environment = { ...process.env, TMUX: "" };
    const session = ["new-session", "-d", "-s", "t", "-x", "100", "-y", "30", "-c", home.root, `env ${env} sh`];
    execFileSync("tmux", ["-L", this.#server, "-f", "/dev/null", ...session], { env: environment });
  }

  type(line: string): void {
    this.#tmux("send-keys", "-t", "t", line, "Enter");
  }

  press(key: string): void {
    this.#tmux("send-keys", "-t", "t", key);
  }

  screen(): string {
    return this.#tmux("capture-pane", "-p", "-t", "t").replace(/\n+$/, "");
  }

  /** The screen, once it shows what is waited for. */
  until(what: RegExp): Promise<string> {
    return eventually(`${what} on the screen:\n${this.screen()}`, async () => {
      const screen = this.screen();
      return what.test(screen) ? screen : undefined;
    });
  }

  /** Ends the server, and with it the terminal: what a dropped SSH connection does to the shell's processes. */
  drop(): void {
    spawnSync("tmux", ["-L", this.#server, "kill-server"]);
  }

  #tmux(...args: string[]): string {
    return execFileSync("tmux", ["-L", this.#server, ...args], { encoding: "utf8" });
  }
}

describe.skipIf(!hasTmux)("a run in a terminal (skipped where there is no tmux)", () => {
  let home: CoordHome;
  const terminals: Terminal[] = [];
  const open = () => {
    terminals.push(new Terminal(home));
    return terminals.at(-1)!;
  };
  beforeEach(async () => {
    home = await CoordHome.create();
  });
  afterEach(async () => {
    await home.coord(["stop", "--now"]);
    for (const terminal of terminals.splice(0)) terminal.drop();
    await home.remove();
  });

  const step = (screen: string) => Number(/(\d+)\/100000 +\d+%/.exec(screen)?.[1] ?? 0);

  it("shows a worker that is killed and replaced; goes on when the terminal is gone, and is attached to again", async () => {
    const given = [...(await smallRun(home)), "--output", home.path("out"), "--gpus", "2", "--max-steps", "100000"];
    const flags = given.map((word) => word.replace(`${home.root}/`, ""));
    const first = open();
    first.type("clear");
    first.type(`coord launch ${flags.join(" ")}`);
    const training = await first.until(/training {2}run \S+ {2}workers 2\/2[\s\S]*[1-9]\d*\/100000/);
    expect(training).toMatch(/loss \d\.\d{4} {2}lr \d/);
    const { run, workers } = await home.json<{ run: string; workers: { pid: number }[] }>(["status"]);

    process.kill(workers[1]!.pid, "SIGKILL");
    const lost = await first.until(new RegExp(`Worker 0/1 \\(pid ${workers[1]!.pid} on .*is out`));
    const replaced = await first.until(/Starting rank 1 \(node 0, worker 1\) again[\s\S]*All 2 workers are ready/);
    const after = await first.until(/training {2}run \S+ {2}workers 2\/2/);
    const later = await eventually("steps after the loss", async () =>
      step(first.screen()) > step(after) + 3 ? first.screen() : undefined,
    );
    expect(later).not.toMatch(/failed|defect/);

    first.drop();
    const dropped = (await home.json<{ step: number }>(["status", run])).step;
    await eventually("steps without a terminal", async () =>
      (await home.json<{ step: number }>(["status", run])).step > dropped + 3 ? true : undefined,
    );

    const second = open();
    second.type("clear");
    second.type(`coord attach ${run}`);
    const again = await second.until(/training {2}run \S+ {2}workers 2\/2[\s\S]*[1-9]\d*\/100000/);
    expect(step(again)).toBeGreaterThan(dropped);
    second.press("C-c");
    const left = await second.until(/The run goes on; coord stop \S+ ends it\./);
    expect((await home.json<{ state: string }>(["status", run])).state).toBe("training");
    record({ training, lost, replaced, later, again, left });
  });
});

/** For the documentation: COORD_RECORDING=deploy/demo/worker-replaced.txt writes what stood on the screen. */
function record(screens: Readonly<Record<string, string>>): void {
  const path = process.env["COORD_RECORDING"];
  if (path === undefined) return;
  const titles: Readonly<Record<string, string>> = {
    training: "A run of two workers, in a terminal",
    lost: "kill -9 of one worker",
    replaced: "It is started again and takes the state of the other",
    later: "Training goes on",
    again: "The terminal is gone, the run is not: coord attach in another one",
    left: "Ctrl-C ends the watching",
  };
  const text = Object.entries(screens).map(([name, screen]) => `──── ${titles[name]}\n\n${screen}\n`);
  writeFileSync(resolve(packageRoot(), path), text.join("\n"));
}
