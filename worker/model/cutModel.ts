import type { ModelDescription } from "./description.ts";
import { differentiate } from "./differentiate.ts";
import type { Operation, Shape, Tensor } from "./graph.ts";
import { input } from "./operations.ts";
import { type Program, toProgram } from "./program.ts";
import type { Trainable } from "./trainable.ts";
import { type DropoutMask, isTrained, writeModel } from "./writeModel.ts";

/** Names of what is fed to a segment beside what is fed with each batch. */
export const segmentInputs = {
  /** What the segment before it returned, [T, hidden]. */
  hidden: "hidden",
  /** Gradient of the loss by what this segment returned. */
  outputGradient: "outputGradient",
} as const;

/** One piece of a model that is run layer by layer. */
export interface Segment {
  /** Segments of the same kind have the same programs. */
  readonly kind: SegmentKind;
  /** By the kind's name of a parameter: the model's. */
  readonly parameters: ReadonlyMap<string, string>;
  /** By the kind's name of the input. */
  readonly masks: ReadonlyMap<string, DropoutMask>;
  /** By the kind's name of the input: rows of a frozen table that are looked up outside of the graph. */
  readonly lookUps: ReadonlyMap<string, LookUp>;
  /** Names of trained parameters in the order of the backward program's gradients. */
  readonly trained: readonly string[];
}

/** The programs of a segment, with names of its own for parameters and masks. */
export interface SegmentKind {
  /** Output: what the segment returns. */
  readonly forward: Program;
  /** The same without dropout. */
  readonly evaluation: Program;
  /**
   * Computes the segment again and goes back through it. Outputs: the gradient of the hidden input where
   * `inputGradient` says so, then of each trained parameter. Absent where there is nothing to train here or before.
   */
  readonly backward: Program | undefined;
  readonly inputGradient: boolean;
}

export interface LookUp {
  /** Name of the table [rows, columns]. */
  readonly table: string;
  /** Name of the input that says which rows. */
  readonly ids: string;
}

/** The head and its loss, where they are computed by parts of the vocabulary, outside of the last segment. */
export interface ApartHead {
  readonly weight: string;
  /** [vocabulary, features] */
  readonly shape: readonly [number, number];
}

/** A model in pieces: the embedding, each block, what follows them; and the head. */
export interface CutModel {
  readonly segments: readonly Segment[];
  /** Absent where the last segment returns the loss of each label token. */
  readonly head: ApartHead | undefined;
}

/** Cuts a model at its boundaries. */
export function cutModel(description: ModelDescription, trainable: Trainable): CutModel {
  const training = pieces(description, trainable, true);
  const evaluation = pieces(description, trainable, false);
  const kinds = new Map<string, SegmentKind>();
  let trainsBefore = false;
  const segments = training.outputs.map((output, at): Segment => {
    const hidden = at === 0 ? undefined : training.inputs[at - 1];
    const forward = toProgram([output]);
    const names = namesOf(forward);
    const rename = ({ steps, outputs }: Program): Program => ({
      steps: steps.map((step) => ({ ...step, op: renamed(step.op, names) })),
      outputs,
    });
    const parameters = forward.steps.filter(({ op }) => op.kind === "parameter").map(({ op }) => nameOf(op));
    const trained = parameters.filter((name) => isTrained(name, trainable));
    const inputGradient = trainsBefore;
    trainsBefore ||= trained.length > 0;
    const targets = [...(inputGradient ? [hidden!] : []), ...trained.map((name) => training.parameters.get(name)!)];
    const seed = input(segmentInputs.outputGradient, output.shape);
    const made: SegmentKind = {
      forward: rename(forward),
      evaluation: rename(toProgram([evaluation.outputs[at]!])),
      backward: targets.length === 0 ? undefined : rename(toProgram(differentiate(output, seed, targets))),
      inputGradient,
    };
    const key = JSON.stringify(made);
    const kind = kinds.get(key) ?? made;
    kinds.set(key, kind);
    const masks = training.masks.filter(({ name }) => names.has(name));
    const lookUps = [...training.lookUps].filter(([name]) => names.has(name));
    return {
      kind,
      parameters: new Map(parameters.map((name) => [names.get(name)!, name])),
      masks: new Map(masks.map((mask) => [names.get(mask.name)!, mask])),
      lookUps: new Map(lookUps.map(([name, lookUp]) => [names.get(name)!, lookUp])),
      trained,
    };
  });
  return { segments, head: training.head };
}

/** The tensors that a cut model is made of: what each segment returns and what stands in for it in the next one. */
function pieces(description: ModelDescription, trainable: Trainable, forTraining: boolean) {
  const outputs: Tensor[] = [];
  const inputs: Tensor[] = [];
  const lookUps = new Map<string, LookUp>();
  let head: ApartHead | undefined;
  const dropout = trainable.kind === "lora" && trainable.dropout > 0;
  const { loss, masks, parameters } = writeModel(description, trainable, forTraining && dropout, {
    boundary(x) {
      outputs.push(x);
      const next = input(segmentInputs.hidden, x.shape);
      inputs.push(next);
      return next;
    },
    lookUp(table, [, columns], ids) {
      if (isTrained(table, trainable)) return undefined;
      const name = `rows.${table}`;
      lookUps.set(name, { table, ids: nameOf(ids.op) });
      return input(name, [ids.shape[0]!, columns]);
    },
    headLoss(x, weight, vocabularySize) {
      if (isTrained(weight, trainable)) return undefined;
      head = { weight, shape: [vocabularySize, x.shape[1] as number] };
      return x;
    },
  });
  return { outputs: [...outputs, loss], inputs, lookUps, head, masks, parameters };
}

/** Short names, in the order of the program, for what differs between segments that compute the same. */
function namesOf({ steps }: Program): Map<string, string> {
  const names = new Map<string, string>();
  for (const { op } of steps) {
    if (op.kind === "parameter") names.set(op.name, `parameter${names.size}`);
    else if (op.kind === "input" && /^(dropout|rows)\./.test(op.name)) names.set(op.name, `fed${names.size}`);
  }
  return names;
}

function renamed(op: Operation, names: ReadonlyMap<string, string>): Operation {
  if (op.kind !== "parameter" && op.kind !== "input") return op;
  return { ...op, name: names.get(op.name) ?? op.name };
}

const nameOf = (op: Operation) => (op.kind === "parameter" || op.kind === "input" ? op.name : "");

/** Bytes-free facts of a program's parameters: by name, its shape. */
export function parameterShapes({ steps }: Program): Map<string, Shape> {
  return new Map(steps.flatMap(({ op, shape }) => (op.kind === "parameter" ? [[op.name, shape] as const] : [])));
}
