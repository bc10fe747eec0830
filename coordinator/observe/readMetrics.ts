import { readFile } from "node:fs/promises";
import type { StepFigures } from "./stepMeter.ts";

/** The steps in a metrics file, the last entry of each, in order. Lines that are damaged are left out. */
export async function readStepFigures(path: string): Promise<StepFigures[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const byStep = new Map<number, StepFigures>();
  for (const line of text.split("\n")) {
    const figures = parse(line);
    if (figures) byStep.set(figures.step, figures);
  }
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

/** A crash may have cut the last line short. */
function parse(line: string): StepFigures | undefined {
  try {
    const value = JSON.parse(line) as Partial<StepFigures>;
    const complete = [value.step, value.loss, value.learningRate, value.gradientNorm].every(Number.isFinite);
    return complete ? (value as StepFigures) : undefined;
  } catch {
    return undefined;
  }
}

/** The held-out losses in a metrics file, the last one of each step, in order. */
export async function readEvaluations(path: string): Promise<{ readonly step: number; readonly loss: number }[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const byStep = new Map<number, number>();
  for (const line of text.split("\n")) {
    try {
      const { learningRate, loss, step } = JSON.parse(line) as Partial<StepFigures>;
      if (learningRate === undefined && Number.isFinite(loss) && Number.isFinite(step)) byStep.set(step!, loss!);
    } catch {
      // Cut short by a crash.
    }
  }
  return [...byStep].map(([step, loss]) => ({ step, loss })).sort((a, b) => a.step - b.step);
}
