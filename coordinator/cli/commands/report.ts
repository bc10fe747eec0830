import { resolve } from "node:path";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import { readEvents } from "../../observe/followEvents.ts";
import { renderReport } from "../../observe/results/renderReport.ts";
import { type Command, textValue } from "../command.ts";
import { describeRun } from "../describeRun.ts";
import { selectRun } from "../selectRun.ts";

export const reportCommand: Command = {
  usage: "report [run]",
  describe: "Write one HTML file with results, loss curve, root cause of a failure, events and settings of a run.",
  positionals: { run: { describe: "Id or output directory of the run [default: the newest].", type: "string" } },
  options: { to: { describe: "File to write [default: RUN.html].", requiresArg: true } },
  async run(values, context) {
    const selected = await selectRun(textValue(values, "run"), context);
    const { directory, run, runId } = selected;
    const { reason, state } = await describeRun(selected);
    const events = await readEvents(directory.paths.events);
    const html = renderReport({ runId, createdAtMs: run.createdAtMs, state, reason, config: run.config, events });
    const path = resolve(context.workingDirectory, textValue(values, "to") ?? `${runId}.html`);
    await writeFileAtomic(path, html, { mode: 0o644 });
    context.stdout.write(`Wrote ${path}.\n`);
    return 0;
  },
};
