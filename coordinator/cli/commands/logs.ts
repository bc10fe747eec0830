import { CoordError } from "../../../shared/errors.ts";
import { followLogs } from "../../observe/followLogs.ts";
import { type LogLine, logRenderer } from "../../observe/logLine.ts";
import { parseSince } from "../../observe/parseSince.ts";
import { createStyle, wantsColor } from "../../observe/style.ts";
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
    since: {
      describe: "Only lines from then on: how long ago (90s, 10m, 2h, 1d), a time (21:54) or a date.",
      requiresArg: true,
    },
  },
  examples: [["coord logs --since 10m --rank 3", "What the worker of rank 3 wrote in the last ten minutes"]],
  async run(values, context) {
    const { directory } = await selectRun(textValue(values, "run"), context);
    const rank = rankValue(textValue(values, "rank"));
    const since = textValue(values, "since");
    const sinceMs = since === undefined ? undefined : parseSince(since, Date.now());
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    try {
      const batches = followLogs({
        directory: directory.paths.logs,
        ...(rank === undefined ? {} : { rank }),
        ...(sinceMs === undefined ? {} : { sinceMs }),
        isGoingOn: async () => values["follow"] === true && goesOn(await runLiveness(directory)),
        signal: leaving.signal,
      });
      const { environment, stdout } = context;
      const render = logRenderer(createStyle(wantsColor(stdout.isTTY, environment)));
      const document: LogLine[] = [];
      for await (const batch of batches) {
        if (values["json"]) document.push(...batch);
        else stdout.write(batch.map((line) => `${render(line)}\n`).join(""));
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
