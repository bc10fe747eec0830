import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { killEverything, processesOf, processesWith } from "../support/killEverything.ts";
import { LocalSshd, whyNoSshd } from "../support/localSshd.ts";
import { smallRun } from "../support/smallRun.ts";

const skipped = whyNoSshd();

interface Status {
  readonly run: string;
  readonly state: string;
  readonly step: number;
}

describe.skipIf(skipped)(`a run started over ssh${skipped ? ` (skipped: ${skipped})` : ""}`, () => {
  let home: CoordHome;
  let sshd: LocalSshd;
  let run: string | undefined;
  beforeEach(async () => {
    run = undefined;
    home = await CoordHome.create();
    sshd = await LocalSshd.start(home.path("ssh"));
  });
  afterEach(async () => {
    await sshd?.stop();
    if (run !== undefined) await killEverything(run);
    await home.remove();
  });

  const status = () => home.json<Status>(["status"]);

  /** A command of coord's as a shell over there would run it. */
  function shell(words: readonly string[]): string {
    const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    const quoted = [process.execPath, command, ...words].map((word) => `'${word}'`).join(" ");
    return `cd '${home.root}' && COORD_HOME='${home.home}' TERM=xterm-256color ${quoted}`;
  }

  /** The commands that watch the run: processes of coord's that carry no run id. */
  function watchers(): string[] {
    const main = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    return processesIn(home.home).filter((line) => line.includes(main) && /\0(launch|attach)\0/.test(line));
  }

  it.each(["the ssh client", "sshd's end of the connection"])(
    "goes on when %s is killed, and is attached to again over a new connection",
    async (victim) => {
      const given = [...(await smallRun(home)), "--output", home.path("out"), "--gpus", "2", "--max-steps", "100000"];
      const first = sshd.open(shell(["launch", ...given]));
      await first.until(/training[\s\S]*[1-9]\d*\/100000/);
      run = (await status()).run;
      expect(watchers()).toHaveLength(1);
      const processes = processesOf(run);
      expect(processes.length).toBeGreaterThanOrEqual(4);

      if (victim === "the ssh client") first.kill();
      else for (const pid of sshd.sessions()) process.kill(pid, "SIGKILL");
      await first.ended();
      await eventually("the end of the command", async () => (watchers().length === 0 ? true : undefined));
      const dropped = await status();
      expect(dropped.state).toBe("training");
      await eventually("steps without a connection", async () =>
        (await status()).step > dropped.step + 3 ? true : undefined,
      );
      expect(processesOf(run)).toEqual(processes);

      const second = sshd.open(shell(["attach", run]));
      const shown = await second.until(/training[\s\S]*[1-9]\d*\/100000/);
      expect(shown).toContain(run);
      second.press("\u0003");
      await second.until(/The run goes on; coord stop \S+ ends it\./);
      await second.ended();
      expect((await status()).state).toBe("training");
      expect(processesOf(run)).toEqual(processes);
    },
  );
});

/** Command lines of the processes with this COORD_HOME, words separated by NUL. */
function processesIn(home: string): string[] {
  return processesWith(`COORD_HOME=${home}`).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
}
