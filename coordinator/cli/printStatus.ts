import { renderStatus } from "../observe/renderStatus.ts";
import { wantsColor } from "../observe/style.ts";
import type { CommandContext } from "./command.ts";
import { describeRun } from "./describeRun.ts";
import type { SelectedRun } from "./selectRun.ts";

/** Prints where a run stands, for people or as one JSON document; returns the exit code. */
export async function printStatus(selected: SelectedRun, context: CommandContext, json = false): Promise<number> {
  const { stdout, environment } = context;
  const document = await describeRun(selected);
  const lines = json
    ? [JSON.stringify(document, undefined, 2)]
    : renderStatus(document, wantsColor(stdout.isTTY, environment));
  stdout.write(`${lines.join("\n")}\n`);
  return 0;
}
