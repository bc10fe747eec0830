import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError, isErrorCode } from "../../shared/errors.ts";
import { type ModelFacts, type ModelQuestion, modelAnswerSchema } from "../../shared/plan/modelFacts.ts";

/** A process boundary, not an import: only the worker's side knows models. */
const entry = fileURLToPath(new URL("../../worker/modelFactsMain.js", import.meta.url));

/**
 * What the model of a run needs, from its config.json and the headers of its weight files. Throws MODEL_INVALID, or
 * CONFIG_INVALID for target modules that the model has not.
 */
export async function askModelFacts(
  config: RunConfig,
  wanted: { readonly sequence: number; readonly limitBytes?: number },
): Promise<ModelFacts> {
  const question: ModelQuestion = { config, ...wanted };
  const { stdout } = await execa(process.execPath, [entry, JSON.stringify(question)]);
  const answer = modelAnswerSchema.parse(JSON.parse(stdout));
  if ("facts" in answer) return answer.facts;
  const { code, message } = answer.error;
  throw new CoordError(isErrorCode(code) ? code : "INTERNAL", message);
}
