import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSession } from "../../worker/engine/onnx/session.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

interface Status {
  readonly state: string;
  readonly errorCode: string | null;
  readonly exitCode: number | null;
  readonly reason: string;
  readonly workers: { pid: number | null }[];
}

const status = (run: string) => home.json<Status>(["status", run]);
const ended = (run: string) =>
  eventually("the end of the run", async () => {
    const now = await status(run);
    return now.exitCode === null ? undefined : now;
  });

describe("the engine", () => {
  it("fails with ENGINE_FAILED where the tensor library refuses a graph", async () => {
    const opening = openSession(new Uint8Array([1, 2, 3]), { threads: 1 });
    await expect(opening).rejects.toMatchObject({ code: "ENGINE_FAILED", exitCode: 1 });
  });
});

describe("a run that fails says with which code", () => {
  it("WORKER_FAILED, exit code 1, when a worker dies and none may be started again", async () => {
    const flags = [...(await smallRun(home)), "--output", home.path("out"), "--max-restarts", "0"];
    const run = await home.launch([...flags, "--max-steps", "100000"]);
    await eventually("the first step", async () => ((await home.metrics(run)).length > 0 ? true : undefined));
    process.kill((await status(run)).workers[0]!.pid!, "SIGKILL");
    expect(await ended(run)).toMatchObject({ state: "failed", errorCode: "WORKER_FAILED", exitCode: 1 });
  });

  it("COORDINATOR_UNREACHABLE, exit code 75, to a wish that comes when it has ended", async () => {
    const run = await home.launch([...(await smallRun(home)), "--output", home.path("out"), "--max-steps", "1"]);
    await ended(run);
    for (const wish of ["checkpoint", "set", "profile"]) {
      const { exitCode, stderr } = await home.coord([wish, run, "--debug"]);
      expect(stderr).toContain("COORDINATOR_UNREACHABLE");
      expect(exitCode).toBe(75);
    }
  });

  it("PREFLIGHT_REFUSED, exit code 3, when gradients are to go through shared memory that is not there", async () => {
    const flags = [...(await smallRun(home)), "--output", home.path("out"), "--data-plane", "shared"];
    const { exitCode, stdout } = await home.coord(["launch", ...flags], { COORD_SHM_DIR: home.path("rows.jsonl") });
    expect(exitCode).toBe(3);
    const [{ run }] = await home.json<[{ run: string }]>(["list"]);
    expect(await status(run), stdout).toMatchObject({ errorCode: "PREFLIGHT_REFUSED", exitCode: 3 });
  });
});
