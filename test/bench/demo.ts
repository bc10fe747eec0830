import type { TrainingCase } from "./trainingBench.ts";

/** The built-in demo on one worker, on two, and in the shape of the README's first command. */
export const demoCases: readonly TrainingCase[] = [
  { name: "1 node × 1 worker", args: ["--nodes", "1", "--gpus", "1", "--max-steps", "60"] },
  { name: "1 node × 2 workers", args: ["--nodes", "1", "--gpus", "2", "--max-steps", "60"] },
  { name: "2 nodes × 8 workers", args: ["--nodes", "2", "--gpus", "8", "--max-steps", "20"] },
];
