import { diffCheckpoints } from "../../../shared/checkpoint/diffCheckpoints.ts";
import { inspectIn } from "../../../shared/checkpoint/inspectCheckpoint.ts";
import { openStore } from "../../../shared/checkpoint/openStore.ts";
import { pruneCheckpoints } from "../../../shared/checkpoint/pruneCheckpoints.ts";
import { CoordError, exitCodes } from "../../../shared/errors.ts";
import { describeCheckpoints } from "../../checkpoint/describeCheckpoint.ts";
import { showCheckpoint } from "../../checkpoint/showCheckpoint.ts";
import {
  renderCheckpointDetails,
  renderCheckpointList,
  renderDifference,
  renderFinding,
} from "../../observe/renderCheckpoints.ts";
import { createStyle, wantsColor } from "../../observe/style.ts";
import { runLiveness } from "../../runs/runLiveness.ts";
import { type Command, type CommandContext, type CommandValues, jsonOption, textValue } from "../command.ts";
import { type CheckpointPlace, entryOf, placesPositional, selectCheckpoints, words } from "../selectCheckpoints.ts";

type Action = (places: CheckpointPlace[], values: CommandValues, context: CommandContext) => Promise<Answer>;

/** What an action prints. */
interface Answer {
  readonly document: unknown;
  readonly lines: readonly string[];
  readonly exitCode?: number;
}

const actions: Readonly<Record<string, Action>> = { list, show, verify, diff, prune };

export const checkpointsCommand: Command = {
  usage: "checkpoints [action] [places..]",
  describe: "List, show, verify, compare or prune checkpoints.",
  positionals: {
    action: { describe: `One of ${Object.keys(actions).join(", ")} [default: list].`, type: "string" },
    places: placesPositional,
  },
  options: {
    "save-total-limit": {
      describe: "prune: valid checkpoints to keep [default: the run's own setting].",
      requiresArg: true,
    },
    all: { type: "boolean", describe: "prune: remove every checkpoint, the last valid one too." },
    "dry-run": { type: "boolean", alias: "n", describe: "prune: only show what would be removed." },
    ...jsonOption,
  },
  examples: [
    ["coord checkpoints list", "Those of the newest run"],
    ["coord checkpoints verify OUT", "Hash every file of every checkpoint again"],
    ["coord checkpoints diff RUN checkpoint-5 checkpoint-10", "What has changed between two"],
    ["coord checkpoints prune OUT --save-total-limit 2 --dry-run", "What a limit would remove"],
  ],
  async run(values, context) {
    const name = textValue(values, "action") ?? "list";
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      const known = Object.keys(actions).join(", ");
      throw new CoordError("CONFIG_INVALID", `Unknown action ${JSON.stringify(name)}; coord checkpoints has ${known}.`);
    }
    const places = await selectCheckpoints(words(values, "places"), context);
    const { document, exitCode = exitCodes.done, lines } = await action(places, values, context);
    const shown = values["json"] ? [JSON.stringify(document, undefined, 2)] : lines;
    context.stdout.write(`${shown.join("\n")}\n`);
    return exitCode;
  },
};

async function list(places: CheckpointPlace[]): Promise<Answer> {
  const { directory } = only(places, "list");
  const checkpoints = await describeCheckpoints(await openStore(directory));
  return { document: { directory, checkpoints }, lines: renderCheckpointList(directory, checkpoints) };
}

async function show(places: CheckpointPlace[]): Promise<Answer> {
  const { directory, name } = only(places, "show");
  const store = await openStore(directory);
  const document = await showCheckpoint(store, await entryOf(store, name));
  return { document, lines: renderCheckpointDetails(document) };
}

async function verify(places: CheckpointPlace[], _values: CommandValues, context: CommandContext): Promise<Answer> {
  const style = createStyle(wantsColor(context.stdout.isTTY, context.environment));
  const findings = [];
  for (const { directory, name } of places) {
    const store = await openStore(directory);
    const entries = name === undefined ? await store.list() : [await entryOf(store, name)];
    for (const entry of entries)
      findings.push({ name: entry.name, path: entry.path, ...(await inspectIn(store, entry)) });
  }
  if (findings.length === 0) {
    throw new CoordError("CHECKPOINT_INVALID", `There are no checkpoints in ${places[0]?.directory}.`);
  }
  const valid = findings.every((finding) => finding.valid);
  return {
    document: { valid, checkpoints: findings },
    lines: findings.flatMap((finding) => renderFinding(finding.name, finding, style)),
    exitCode: valid ? exitCodes.done : exitCodes.trainingFailed,
  };
}

async function diff(places: CheckpointPlace[]): Promise<Answer> {
  const [first, second] = places;
  if (places.length !== 2 || first?.name === undefined || second?.name === undefined) {
    throw new CoordError(
      "CONFIG_INVALID",
      "coord checkpoints diff compares two: RUN checkpoint-A checkpoint-B, or two paths of checkpoints.",
    );
  }
  const load = async ({ directory, name }: CheckpointPlace) => (await openStore(directory)).load(name!);
  const [a, b] = [await load(first), await load(second)];
  const difference = diffCheckpoints(a, b);
  return {
    document: { first: a.path, second: b.path, ...difference },
    lines: renderDifference([a.path, b.path], difference),
  };
}

async function prune(places: CheckpointPlace[], values: CommandValues): Promise<Answer> {
  const { directory, known, name } = only(places, "prune");
  if (name !== undefined) throw new CoordError("CONFIG_INVALID", "coord checkpoints prune takes a run or a directory.");
  if (known && ["live", "starting"].includes(await runLiveness(known.directory))) {
    throw new CoordError(
      "RUN_IN_USE",
      `Run ${known.run.runId} is going on and prunes by itself (--save-total-limit); stop it first.`,
    );
  }
  const warnings: string[] = [];
  const dryRun = values["dry-run"] === true;
  const store = await openStore(directory, { onWarning: (message) => warnings.push(message) });
  const report = await pruneCheckpoints(store, {
    keep: values["all"] ? "none" : limitOf(textValue(values, "save-total-limit"), known?.run.config.saveTotalLimit),
    milestoneSteps: known?.run.config.saveMilestoneSteps ?? 0,
    dryRun,
  });
  const { damaged, kept, reason, removed } = report;
  const names = (some: readonly string[]) => some.join(", ") || "none";
  return {
    document: { directory, dryRun, ...report, warnings },
    lines: [
      `${dryRun ? "Would remove" : "Removed"}: ${names(removed)}`,
      `${dryRun ? "Would keep" : "Kept"}: ${names(kept)}; ${reason}.`,
      ...damaged.map((one) => `Damaged, left as it is: ${one.name}: ${one.reason}`),
      ...warnings,
    ],
    exitCode: warnings.length > 0 ? exitCodes.trainingFailed : exitCodes.done,
  };
}

function limitOf(given: string | undefined, own: number | undefined): number {
  const limit = given === undefined ? own : Number(given);
  if (limit !== undefined && Number.isSafeInteger(limit) && limit > 0) return limit;
  throw new CoordError(
    "CONFIG_INVALID",
    given === undefined
      ? "Say how many checkpoints to keep with --save-total-limit; the run has no limit of its own."
      : `--save-total-limit must be a whole number of at least 1, got ${JSON.stringify(given)}; --all removes every one.`,
  );
}

function only(places: CheckpointPlace[], action: string): CheckpointPlace {
  if (places.length === 1) return places[0]!;
  throw new CoordError("CONFIG_INVALID", `coord checkpoints ${action} takes one run, directory or checkpoint.`);
}
