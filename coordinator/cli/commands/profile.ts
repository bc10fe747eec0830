import { resolve } from "node:path";
import { CoordError } from "../../../shared/errors.ts";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import { chromeTrace } from "../../observe/chromeTrace.ts";
import type { ProfiledStep } from "../../observe/stepTimings.ts";
import { openRunClient } from "../../runs/runClient.ts";
import { type Command, textValue } from "../command.ts";
import { numberOption } from "../numberOption.ts";
import { reachRun } from "../reachRun.ts";
import { selectRun } from "../selectRun.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

export const profileCommand: Command = {
  usage: "profile [run]",
  describe: "Write where the time of the next steps goes, on all ranks, for chrome://tracing and ui.perfetto.dev.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the only one that is going on].", type: "string" },
  },
  options: {
    steps: { describe: "Steps to follow [default: 5].", requiresArg: true },
    to: { describe: "File to write [default: RUN.trace.json].", requiresArg: true },
  },
  examples: [["coord profile --steps 10 --to trace.json", "Ten steps of the run that is going on"]],
  async run(values, context) {
    const wanted = numberOption(values, "steps", { integer: true }) ?? 5;
    if (wanted > mostSteps)
      throw new CoordError("CONFIG_INVALID", `--steps must be at most ${mostSteps}, got ${wanted}.`);
    const run = await selectRun(textValue(values, "run"), context, "onlyLive");
    const path = resolve(context.workingDirectory, textValue(values, "to") ?? `${run.runId}.trace.json`);
    const client = openRunClient(await reachRun(run));
    const steps: ProfiledStep[] = [];
    try {
      await whileInterruptible(
        context,
        async (signal) => {
          for await (const { spans, step } of client.profile(wanted, signal)) steps.push({ step: Number(step), spans });
        },
        "the steps were done",
      );
    } finally {
      client.close();
    }
    if (steps.length === 0) throw new CoordError("COORDINATOR_UNREACHABLE", "The run ended before a step was done.");
    await writeFileAtomic(path, JSON.stringify(chromeTrace(run.runId, steps)), { mode: 0o644 });
    const [first, last] = [steps[0]!.step, steps.at(-1)!.step];
    const ranks = new Set(steps.flatMap(({ spans }) => spans.map(({ rank }) => rank))).size;
    context.stdout.write(`Wrote steps ${first} to ${last} of ${ranks} ranks to ${path}; open it in ui.perfetto.dev.\n`);
    return 0;
  },
};

const mostSteps = 1000;
