import type { RunEvent } from "../../observe/eventLog.ts";
import { followEvents } from "../../observe/followEvents.ts";
import { formatDateTime } from "../../observe/format.ts";
import { createStyle, type Style, wantsColor } from "../../observe/style.ts";
import { runLiveness } from "../../runs/runLiveness.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { goesOn } from "../followedRun.ts";
import { selectRun } from "../selectRun.ts";

const kindColumns = "membership".length;

export const eventsCommand: Command = {
  usage: "events [run]",
  describe: "Print what has happened in a run: starts, losses and returns of workers, checkpoints, errors.",
  positionals: { run: { describe: "Id or output directory of the run [default: the newest].", type: "string" } },
  options: {
    follow: { type: "boolean", alias: "f", describe: "Go on printing until the run ends or Ctrl-C." },
    ...jsonOption,
    all: { type: "boolean", alias: "a", describe: "Also each step and the progress of data preparation." },
  },
  async run(values, context) {
    const { directory } = await selectRun(textValue(values, "run"), context);
    const { environment, stdout } = context;
    const style = createStyle(wantsColor(stdout.isTTY, environment));
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    const document: RunEvent[] = [];
    try {
      const batches = followEvents({
        path: directory.paths.events,
        isGoingOn: async () => values["follow"] === true && goesOn(await runLiveness(directory)),
        signal: leaving.signal,
      });
      for await (const batch of batches) {
        if (values["json"]) document.push(...batch);
        else {
          const shown = values["all"] ? batch : batch.filter(isWorthALine);
          stdout.write(shown.map((event) => `${renderEventLine(event, style)}\n`).join(""));
        }
      }
      if (values["json"]) stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
      return 0;
    } finally {
      unsubscribe();
    }
  },
};

function isWorthALine({ data, kind }: RunEvent): boolean {
  return kind !== "step" && !(kind === "data" && data["done"] !== undefined);
}

function renderEventLine({ kind, message, timeMs }: RunEvent, style: Style): string {
  const paint = { error: style.red, warning: style.yellow, checkpoint: style.green }[kind as string] ?? style.cyan;
  const text = message.replaceAll(/\s*\n\s*/g, " ");
  return `${style.dim(formatDateTime(timeMs))}  ${paint(kind.padEnd(kindColumns))}  ${text}`;
}
