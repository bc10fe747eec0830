import { CoordError } from "../../../shared/errors.ts";
import { renderTable, type StatusDocument } from "../../observe/renderStatus.ts";
import type { RankTimes } from "../../observe/stragglers.ts";
import { createStyle, wantsColor } from "../../observe/style.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { describeRun } from "../describeRun.ts";
import { selectRun } from "../selectRun.ts";

const columns = ["dataMs", "computeMs", "waitMs", "reduceMs", "updateMs"] as const satisfies (keyof RankTimes)[];

export const stragglersCommand: Command = {
  usage: "stragglers [run]",
  describe: "Show where the time of each rank's steps goes: data, compute, wait, reduce, update; who is slow, and why.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the newest that is going on].", type: "string" },
  },
  options: jsonOption,
  async run(values, context) {
    const { environment, stdout } = context;
    const status = await describeRun(await selectRun(textValue(values, "run"), context, "live"));
    const lines = values["json"]
      ? [JSON.stringify({ run: status.run, step: status.step, ranks: ranksOf(status) }, undefined, 2)]
      : render(status, wantsColor(stdout.isTTY, environment));
    stdout.write(`${lines.join("\n")}\n`);
    return 0;
  },
};

function ranksOf({ run, workers }: StatusDocument) {
  const ranks = workers.flatMap(({ host, node, rank, straggling, times }) =>
    times === null ? [] : [{ rank, node, host, ...times, straggling }],
  );
  if (ranks.length > 0) return ranks;
  throw new CoordError(
    "COORDINATOR_UNREACHABLE",
    `Run ${run} tells no times now: they are known while it trains, from its first step on. coord report shows the rest.`,
  );
}

/** Milliseconds per step, means over about the last ten. */
function render(status: StatusDocument, color: boolean): string[] {
  const style = createStyle(color);
  const ranks = ranksOf(status);
  const rows = ranks.map((rank) => [
    String(rank.rank ?? "-"),
    String(rank.node),
    rank.host,
    ...columns.map((column) => rank[column].toFixed(1)),
    rank.straggling === null ? "" : "slow",
  ]);
  const headings = ["rank", "node", "host", "data ms", "compute ms", "wait ms", "reduce ms", "update ms", ""];
  const slow = ranks.filter(({ straggling }) => straggling !== null);
  const verdict =
    slow.length === 0
      ? ["No rank keeps the others waiting."]
      : slow.map(({ rank, straggling }) => style.yellow(`Rank ${rank} keeps the others waiting: ${straggling}.`));
  return [`run ${status.run}, step ${status.step}`, ...renderTable(headings, rows), "", ...verdict];
}
