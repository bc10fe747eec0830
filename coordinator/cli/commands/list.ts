import { toCoordError } from "../../../shared/errors.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { formatDateTime } from "../../observe/format.ts";
import { renderTable } from "../../observe/renderStatus.ts";
import { type KnownRun, listRuns } from "../../runs/findRun.ts";
import { type Command, jsonOption } from "../command.ts";
import { describeRun } from "../describeRun.ts";
import { readable } from "../selectRun.ts";

interface Row {
  readonly run: string;
  readonly state: string;
  readonly step: number;
  readonly maxSteps: number;
  readonly createdAtMs: number;
  readonly output: string;
}

export const listCommand: Command = {
  usage: "list",
  describe: "List the runs of this host, newest first.",
  options: jsonOption,
  async run(values, context) {
    const rows = await Promise.all((await listRuns(coordHome(context.environment))).map(describeRow));
    const lines = values["json"] ? [JSON.stringify(rows, undefined, 2)] : table(rows);
    context.stdout.write(`${lines.join("\n")}\n`);
    return 0;
  },
};

async function describeRow(known: KnownRun): Promise<Row> {
  const { runId, run } = known;
  const row = { run: runId, createdAtMs: run?.createdAtMs ?? 0, output: run?.output ?? "" };
  try {
    const { state, step, maxSteps } = await describeRun(readable(known));
    return { ...row, state, step, maxSteps };
  } catch (thrown) {
    // One run that does not answer or is damaged must not hide the others.
    return { ...row, state: toCoordError(thrown).retryable ? "unreachable" : "damaged", step: 0, maxSteps: 0 };
  }
}

function table(rows: readonly Row[]): string[] {
  if (rows.length === 0) return ["No runs yet; coord launch starts one."];
  return renderTable(
    ["run", "state", "step", "started", "output"],
    rows.map(({ run, state, step, maxSteps, createdAtMs, output }) => [
      run,
      state,
      maxSteps === 0 ? "-" : `${step}/${maxSteps}`,
      formatDateTime(createdAtMs),
      output,
    ]),
  );
}
