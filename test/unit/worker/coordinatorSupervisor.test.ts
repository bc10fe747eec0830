import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pino } from "pino";
import { expect, it } from "vitest";
import { ownIdentity } from "../../../shared/process/identity.ts";
import { runPaths } from "../../../shared/runPaths.ts";
import { CoordinatorSupervisor } from "../../../worker/coordinatorSupervisor.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

it("gives a coordinator up that dies five times in a row, but not one that was here for a while in between", async () => {
  const home = temporaryDirectory();
  const paths = runPaths(home, "r");
  mkdirSync(paths.logs, { recursive: true });
  mkdirSync(dirname(paths.coordinator), { recursive: true });
  writeFileSync(paths.coordinator, JSON.stringify({ process: { ...ownIdentity(), startTime: "1" } }));
  let starts = 0;
  const logger = pino(
    {},
    {
      write(line: string) {
        if (line.includes("starting it again")) starts++;
      },
    },
  );
  const supervisor = new CoordinatorSupervisor(home, "r", logger);
  // What it starts ends at once: there is no built program beside these sources.
  const lookAfter = async (times: number) => {
    for (let look = 0; look < times; look++) {
      await supervisor.lookAfter();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const startsBy = async (wanted: number) => {
    while (starts < wanted) await lookAfter(1);
    await lookAfter(50);
    return starts;
  };
  expect(await startsBy(5)).toBe(5);
  supervisor.wasHere(1000);
  expect(await startsBy(5)).toBe(5);
  supervisor.wasHere(10_000);
  expect(await startsBy(10)).toBe(10);
});
