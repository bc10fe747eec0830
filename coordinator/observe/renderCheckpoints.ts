import type { CheckpointDifference, TensorDifference } from "../../shared/checkpoint/diffCheckpoints.ts";
import type { CheckpointFinding } from "../../shared/checkpoint/inspectCheckpoint.ts";
import type { CheckpointDocument } from "../checkpoint/describeCheckpoint.ts";
import type { CheckpointDetails } from "../checkpoint/showCheckpoint.ts";
import { formatCount, formatDateTime, formatLoss } from "./format.ts";
import { renderTable } from "./renderStatus.ts";
import type { Style } from "./style.ts";

/** `coord checkpoints list` for people. */
export function renderCheckpointList(directory: string, checkpoints: readonly CheckpointDocument[]): string[] {
  if (checkpoints.length === 0) return [`There are no checkpoints in ${directory}.`];
  const table = renderTable(
    ["checkpoint", "generation", "epoch", "loss", "held-out", "size", "saved", ""],
    checkpoints.map((one) => [
      one.name,
      shown(one.generation, String),
      shown(one.epoch, (epoch) => epoch.toFixed(2)),
      shown(one.loss, formatLoss),
      shown(one.evalLoss, formatLoss),
      shown(one.bytes, (bytes) => `${formatCount(bytes)}B`),
      shown(one.savedAtMs, formatDateTime),
      one.reason ?? (one.best ? "best" : ""),
    ]),
  );
  return [directory, ...table];
}

/** `coord checkpoints show` for people. */
export function renderCheckpointDetails(details: CheckpointDetails): string[] {
  const { adapter, cursor, files, fingerprints, generation, name, path, run, step, trainer } = details;
  const line = (key: string, value: string) => `  ${key.padEnd(14)}${value}`;
  const best =
    trainer.best_metric === null ? "-" : `${formatLoss(trainer.best_metric)} at step ${trainer.best_global_step}`;
  return [
    `${name}  ${path}`,
    line("run", `${run}, generation ${generation}`),
    line("step", `${step} of ${trainer.max_steps}, epoch ${cursor.epoch.toFixed(2)} of ${trainer.num_train_epochs}`),
    line("tokens", formatCount(trainer.num_input_tokens_seen)),
    line("best held-out", best),
    ...(trainer.best_model_checkpoint === null ? [] : [line("best one", trainer.best_model_checkpoint)]),
    line("adapter", `r ${adapter.r}, alpha ${adapter.lora_alpha}, dropout ${adapter.lora_dropout}`),
    line("modules", adapter.target_modules.join(", ")),
    line("base model", adapter.base_model_name_or_path ?? "-"),
    line("data", `${cursor.datasetSize} samples, ${cursor.slots} slots, seed ${cursor.seed}`),
    ...Object.entries(fingerprints).map(([key, value]) => line(key, value)),
    "",
    ...renderTable(
      ["  file", "size", "SHA-256"],
      files.map((file) => [`  ${file.name}`, `${formatCount(file.size)}B`, file.sha256]),
    ),
  ];
}

/** What `coord checkpoints verify` found out about one, with a line for every file that is not in order. */
export function renderFinding(name: string, { files, problem, valid }: CheckpointFinding, style: Style): string[] {
  const good = files.filter(({ state }) => state === "ok").length;
  const listed = files.filter(({ state }) => state !== "extra").length;
  const mark = valid ? style.green("valid  ") : style.red("INVALID");
  return [
    `${mark}  ${name}  ${good} of ${listed} files in order`,
    ...(problem === null ? [] : [`  ${problem}`]),
    ...files.flatMap((file) => (file.state === "wrong" ? [`  ${style.red(file.name)}: ${file.problem}`] : [])),
    ...files.flatMap((file) =>
      file.state === "extra" ? [`  ${file.name}: not in the manifest; nothing reads it`] : [],
    ),
  ];
}

/** `coord checkpoints diff` for people: what differs, and the tensors with the largest differences. */
export function renderDifference(names: readonly [string, string], difference: CheckpointDifference): string[] {
  const { firstMoment, parameters, sameState, secondMoment, settings } = difference;
  const lines = [`${names[0]}  →  ${names[1]}`];
  if (settings.length > 0) {
    const rows = settings.map(({ first, name, second }) => [`  ${name}`, text(first), text(second)]);
    lines.push("", ...renderTable(["  setting", "first", "second"], rows));
  }
  if (sameState) return [...lines, "", "Adapter and optimizer are the same, bit for bit."];
  lines.push("", ...renderTable(["  parameters", "max abs", "max rel"], changedRows(parameters)));
  for (const [name, moments] of [
    ["first moments", firstMoment],
    ["second moments", secondMoment],
  ] as const) {
    const changed = moments.filter(({ state }) => state !== "same").length;
    const largest = Math.max(0, ...moments.map(({ maxAbs }) => maxAbs ?? 0));
    lines.push(`  ${name}: ${changed} of ${moments.length} tensors differ, by at most ${formatSmall(largest)}`);
  }
  return lines;
}

function changedRows(tensors: readonly TensorDifference[]): string[][] {
  const changed = tensors.filter(({ state }) => state !== "same");
  if (changed.length === 0) return [["  all the same", "", ""]];
  return changed.map(({ maxAbs, maxRel, name, state }) =>
    state === "changed"
      ? [`  ${name}`, maxAbs === null ? "not finite" : formatSmall(maxAbs), shown(maxRel, formatSmall)]
      : [`  ${name}`, state === "shape" ? "another shape" : state, ""],
  );
}

/** Three significant digits. */
function formatSmall(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}

function shown<T>(value: T | null, format: (value: T) => string): string {
  return value === null ? "-" : format(value);
}

function text(value: unknown): string {
  return value === undefined ? "-" : typeof value === "string" ? value : JSON.stringify(value);
}
