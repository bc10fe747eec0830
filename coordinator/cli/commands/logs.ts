import { CoordError } from "../../../shared/errors.ts";
import { followLogs } from "../../observe/followLogs.ts";
import { type LogLine, renderLogLine } from "../../observe/logLine.ts";
import { runLiveness } from "../../runs/runLiveness.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { goesOn } from "../followedRun.ts";
import { selectRun } from "../selectRun.ts";

export const logsCommand: Command = {
  usage: "logs [run]",
  describe: "Print what the coordinator, agents and workers of a run wrote.",
  positionals: { run: { describe: "Id or output directory of the run [default: the newest].", type: "string" } },
  options: {
    follow: { type: "boolean", alias: "f", describe: "Go on printing until the run ends or Ctrl-C." },
    ...jsonOption,
    rank: { describe: "Only the lines of the worker of this rank.", requiresArg: true },
  },
  async run(values, context) {
    const { directory } = await selectRun(textValue(values, "run"), context);
    const rank = rankValue(textValue(values, "rank"));
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    try {
      const batches = followLogs({
        directory: directory.paths.logs,
        ...(rank === undefined ? {} : { rank }),
        isGoingOn: async () => values["follow"] === true && goesOn(await runLiveness(directory)),
        signal: leaving.signal,
      });
      const { stdout } = context;
      const document: LogLine[] = [];
      for await (const batch of batches) {
        if (values["json"]) document.push(...batch);
        else stdout.write(batch.map((line) => `${renderLogLine(line)}\n`).join(""));
      }
      if (values["json"]) stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
      return 0;
    } finally {
      unsubscribe();
    }
  },
};

function rankValue(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new CoordError("CONFIG_INVALID", `--rank must be a whole number from 0, got ${JSON.stringify(text)}.`);
}
