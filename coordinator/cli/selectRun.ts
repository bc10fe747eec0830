import { CoordError } from "../../shared/errors.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { findRun, type KnownRun, listRuns } from "../runs/findRun.ts";
import type { RunFile } from "../runs/runFiles.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import type { CommandContext } from "./command.ts";

/** A run whose run.json could be read. */
export interface SelectedRun extends KnownRun {
  readonly run: RunFile;
}

/** Which run is meant when the user names none. */
export type Preference =
  /** The newest. */
  | "newest"
  /** The newest that goes on, or else the newest. */
  | "live"
  /** The only one that goes on, or else the newest; several are refused. */
  | "onlyLive";

/** Finds the run that a command is about. Throws RUN_NOT_FOUND, and CONFIG_INVALID where a name is needed. */
export async function selectRun(
  name: string | undefined,
  context: CommandContext,
  preference: Preference = "newest",
): Promise<SelectedRun> {
  const home = coordHome(context.environment);
  const live = name === undefined && preference !== "newest" ? await liveRuns(home) : [];
  if (live.length > 1 && preference === "onlyLive") {
    const ids = live.map(({ runId }) => runId).join(", ");
    throw new CoordError("CONFIG_INVALID", `${live.length} runs are going on (${ids}); say which.`);
  }
  return readable(live[0] ?? (await findRun(home, name)));
}

/** Narrows to a run with settings. Throws STORAGE_FAILED with the reason why there are none. */
export function readable(known: KnownRun): SelectedRun {
  const { run, runId, problem } = known;
  if (run !== undefined) return { ...known, run };
  throw new CoordError("STORAGE_FAILED", `The settings of run ${runId} cannot be read: ${problem ?? "no run.json"}`);
}

async function liveRuns(home: string): Promise<KnownRun[]> {
  const runs = await listRuns(home);
  const states = await Promise.all(runs.map(({ directory }) => runLiveness(directory)));
  return runs.filter((_, index) => states[index] === "live");
}
