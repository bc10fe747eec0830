import { stopWaitingJob } from "../../launch/slurm/stopWaitingJob.ts";
import { followRun } from "../../observe/followRun.ts";
import { openRunClient } from "../../runs/runClient.ts";
import { type Command, textValue } from "../command.ts";
import { followedRun } from "../followedRun.ts";
import { reachRun } from "../reachRun.ts";
import { selectRun } from "../selectRun.ts";

export const stopCommand: Command = {
  usage: "stop [run]",
  describe: "Stop a run after a checkpoint and wait until it has ended. coord resume continues it.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the only one that is going on].", type: "string" },
  },
  options: { now: { type: "boolean", describe: "End at once, without a checkpoint." } },
  async run(values, context) {
    const run = await selectRun(textValue(values, "run"), context, "onlyLive");
    const { stdout } = context;
    if (await stopWaitingJob(run)) {
      stdout.write(
        `Run ${run.runId} waited in Slurm's queue; its job is cancelled. coord resume ${run.runId} continues it.\n`,
      );
      return 0;
    }
    const ended = await run.directory.readResult();
    if (ended !== undefined) {
      stdout.write(`Run ${run.runId} is not going on: ${ended.state} after step ${ended.step}.\n`);
      return 0;
    }
    const client = openRunClient(await reachRun(run));
    try {
      await client.stop(values["now"] === true);
      stdout.write(`Stopping run ${run.runId}${values["now"] ? " at once" : " after a checkpoint"} …\n`);
      const end = await followRun({
        run: followedRun(client, run.directory),
        view: { update() {}, notice() {}, close() {} },
        viewer: { owner: false, terminal: true, runId: run.runId },
        onSignal: context.onSignal,
      });
      if (end.kind === "left") return end.exitCode;
      const result = await run.directory.readResult();
      const state = result?.state ?? end.model.state;
      const hint = state === "finished" ? "" : ` coord resume ${run.runId} continues it.`;
      stdout.write(`Run ${run.runId}: ${state} after step ${result?.step ?? end.model.step}.${hint}\n`);
      return 0;
    } finally {
      client.close();
    }
  },
};
