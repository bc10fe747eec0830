import { attachToRun } from "../attachToRun.ts";
import { awaitCoordinator } from "../awaitCoordinator.ts";
import { type Command, textValue } from "../command.ts";
import { printStatus } from "../printStatus.ts";
import { reachRun } from "../reachRun.ts";
import { selectRun } from "../selectRun.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

/** What happened just before is shown too, so that the reader sees where the run is. */
const recentMs = 60_000;

export const attachCommand: Command = {
  usage: "attach [run]",
  describe: "Watch a run that is going on. Ctrl-C ends the watching, not the run.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the newest that is going on].", type: "string" },
  },
  options: {},
  async run(values, context) {
    const selected = await selectRun(textValue(values, "run"), context, "live");
    const tell = (why: string) =>
      void context.stdout.write(`The coordinator of run ${selected.runId} ${why} (Ctrl-C leaves) …\n`);
    const there = await whileInterruptible(
      context,
      (signal) => awaitCoordinator(selected.directory, signal, tell),
      "the coordinator answered; the run is left alone",
    );
    if (!there) return printStatus(selected, context);
    const { loggingSteps } = selected.run.config;
    const options = { owner: false, loggingSteps, showFromMs: Date.now() - recentMs };
    return attachToRun(await reachRun(selected), options, context);
  },
};
