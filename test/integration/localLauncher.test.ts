import { afterAll, beforeAll, describe } from "vitest";
import { CoordHome } from "../support/coord.ts";
import { environment, processesOf, processesOfNode } from "../support/killEverything.ts";
import { type LauncherUnderTest, launcherContract } from "../support/launcherContract.ts";

describe("coord launch on one host", () => {
  let launcher: LauncherUnderTest;
  beforeAll(async () => {
    const home = await CoordHome.create();
    launcher = {
      home,
      flags: ["--nodes", "2", "--gpus", "1"],
      loseNode(runId) {
        for (const pid of processesOfNode(runId, 1)) process.kill(pid, "SIGKILL");
      },
      // The first agent starts a coordinator again.
      launcherOf: (runId) =>
        processesOf(runId).filter((pid) => !environment(pid).some((variable) => variable.startsWith("RANK="))),
    };
  });
  afterAll(() => launcher.home.remove());

  launcherContract("this host", () => launcher);
});
