import { toCoordError } from "../shared/errors.ts";
import { type ModelFacts, type ModelQuestion, modelQuestionSchema } from "../shared/plan/modelFacts.ts";
import { executionOf } from "./model/execution.ts";
import { buildModel } from "./model/model.ts";
import { loraOf } from "./model/trainable.ts";
import { openWeights, readModelConfig } from "./model/weights.ts";
import { largestBatch, workerMemory } from "./model/workerMemory.ts";

// A process of its own for `coord plan`, which knows nothing of models: describes one without loading its weights.
// The question is the first argument, the answer one line on standard output, both JSON.

async function answer(question: ModelQuestion): Promise<ModelFacts> {
  const { config, limitBytes, sequence } = question;
  const { content, path } = await readModelConfig(config.model!);
  const execution = executionOf(config);
  const model = buildModel(content, path, loraOf(config));
  const weights = await openWeights(config.model!, model.frozen);
  try {
    const places = [...model.frozen.keys()].map((name) => weights.locate(name));
    const largest = limitBytes === undefined ? undefined : largestBatch(model, execution, sequence, limitBytes);
    return {
      frozenElements: [...model.frozen.values()].reduce(
        (total, shape) => total + shape.reduce((product, size) => product * size, 1),
        0,
      ),
      trainableElements: model.layout.elements,
      dtypes: [...new Set(places.map(({ dtype }) => dtype))].sort(),
      fileBytes: places.reduce((total, { start, end }) => total + end - start, 0),
      sequence,
      memory: workerMemory(model, execution, config.perDeviceTrainBatchSize, sequence),
      ...(largest === undefined ? {} : { largest }),
    };
  } finally {
    await weights.close();
  }
}

try {
  const facts = await answer(modelQuestionSchema.parse(JSON.parse(process.argv[2] ?? "")));
  process.stdout.write(`${JSON.stringify({ facts })}\n`);
} catch (thrown) {
  const { code, message } = toCoordError(thrown);
  process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
}
