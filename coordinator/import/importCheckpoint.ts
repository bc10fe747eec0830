import { rm } from "node:fs/promises";
import { adapterConfigOf } from "../../shared/checkpoint/adapterConfig.ts";
import type { ForeignTrainerState } from "../../shared/checkpoint/foreignTrainerState.ts";
import { loraModules, replacedWeights } from "../../shared/checkpoint/loraModules.ts";
import { openStore } from "../../shared/checkpoint/openStore.ts";
import { initialTrainerState, type TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { CheckpointContents } from "../../shared/checkpoint/types.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { exitCodes } from "../../shared/errors.ts";
import { openBaseModel } from "../../shared/merge/baseModel.ts";
import { planMerge } from "../../shared/merge/mergePlan.ts";
import { orientModules } from "../../shared/merge/orientation.ts";
import { layOut } from "../../shared/tensors/layout.ts";
import { earlyStoppingRule, earlyStoppingState, patienceUsed } from "../checkpoint/earlyStopping.ts";
import { fingerprintsOf } from "../checkpoint/fingerprints.ts";
import { tokenizerFilesOf } from "../checkpoint/tokenizerFiles.ts";
import { prepareDataset } from "../dataset/prepareDataset.ts";
import { openTrainingData } from "../dataset/trainingData.ts";
import { localConfig } from "../launch/localConfig.ts";
import { pinConfig } from "../launch/pinConfig.ts";
import { preflight } from "../launch/preflight.ts";
import { claimOutput, releaseOutput } from "../runs/claimOutput.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { readForeignCheckpoint } from "./foreignCheckpoint.ts";
import { callbacksLeftOut } from "./importedCallbacks.ts";
import { importedConfig } from "./importedConfig.ts";
import { targetModulesOf } from "./targetModules.ts";

export interface ImportOptions {
  /** The foreign checkpoint's directory, absolute. */
  readonly directory: string;
  /** COORD_HOME. */
  readonly home: string;
  readonly config: RunConfig;
  readonly sources: Readonly<Partial<Record<ConfigKey, string>>>;
  readonly signal: AbortSignal;
  /** Gets a line now and then while something is downloaded. */
  readonly onDownload?: (line: string) => void;
}

export interface ImportReport {
  readonly run: string;
  readonly output: string;
  readonly checkpoint: string;
  readonly step: number;
  readonly maxSteps: number;
  /** Linear modules with an adapter. */
  readonly modules: number;
  /** Lines of the log. */
  readonly logged: number;
  /** Settings that the checkpoint has decided. */
  readonly settings: Readonly<Partial<RunConfig>>;
  /** What could not be taken over, a clause each. */
  readonly leftOut: readonly string[];
}

/**
 * Makes a run whose only checkpoint has the weights, the step and the log of another program's. The data set is
 * prepared now, because a checkpoint belongs to one. Throws what reading, preparing and saving throw, leaving nothing.
 */
export async function importCheckpoint(options: ImportOptions): Promise<ImportReport> {
  const { directory, home, signal, sources } = options;
  const foreign = await readForeignCheckpoint(directory);
  const { tensors, trainer } = foreign;
  const modules = loraModules(tensors, foreign.config, directory);
  const pinned = pinConfig(await localConfig(options.config, signal, options.onDownload), sources);
  const base = await openBaseModel(pinned.model!);
  await base.close();
  // Merging it is not wanted, but that it could be says that names and shapes fit.
  planMerge(base.tensors, orientModules(modules, base.config), {
    dtype: undefined,
    maxShardBytes: Number.MAX_SAFE_INTEGER,
    replaced: replacedWeights(tensors, foreign.config),
  });
  const targets = targetModulesOf(
    modules,
    base.tensors.map(({ name }) => name),
  );
  const { config: wanted, taken } = importedConfig(pinned, sources, foreign.config, targets, trainer);
  await preflight(wanted, signal, false);

  const { key, maxSteps, plan } = await prepare(wanted, home, signal);
  const run = await RunDirectory.create(home, { config: wanted, output: wanted.output });
  const output = wanted.output.replaceAll("{run}", run.runId);
  const config = { ...wanted, output };
  try {
    await run.writeRun({ ...(await run.readRun())!, config, output });
    await claimOutput(output, run);
    const layout = layOut([...tensors].map(([name, { shape }]) => ({ name, shape })));
    const parameters = new Float32Array(layout.elements);
    for (const { name, offset } of layout.tensors) parameters.set(tensors.get(name)!.data, offset);
    const zeros = () => new Float32Array(layout.elements);
    const contents: CheckpointContents = {
      runId: run.runId,
      // Before the first membership of the run.
      generation: 0n,
      state: { step: trainer.step, layout, parameters, firstMoment: zeros(), secondMoment: zeros() },
      trainerState: trainerStateOf(config, maxSteps, trainer),
      adapterConfig: adapterConfigOf(config, config.model!, layout),
      cursor: { seed: config.seed, epoch: trainer.epoch, slots: plan.slots, datasetSize: plan.datasetSize },
      fingerprints: await fingerprintsOf(config, key),
    };
    const { path } = await (await openStore(output)).save(contents, tokenizerFilesOf(config.model!));
    await run.writeResult({
      state: "stopped",
      exitCode: exitCodes.done,
      errorCode: "",
      message: `Imported from ${directory} at step ${trainer.step}; coord resume continues it.`,
      step: trainer.step,
      maxSteps,
      output,
      checkpoint: path,
      adapter: "",
    });
    const facts = { step: trainer.step, maxSteps, modules: modules.length, logged: trainer.history.length };
    return {
      run: run.runId,
      output,
      checkpoint: path,
      ...facts,
      settings: taken,
      leftOut: leftOut(foreign.leftOut, trainer),
    };
  } catch (thrown) {
    await releaseOutput(output, run).catch(() => undefined);
    await rm(run.paths.root, { recursive: true, force: true });
    throw thrown;
  }
}

async function prepare(config: RunConfig, home: string, signal: AbortSignal) {
  const prepared = await prepareDataset({
    config,
    modelDirectory: config.model!,
    data: config.data!,
    ...(config.evalData === undefined ? {} : { evalData: config.evalData }),
    cacheDirectory: `${home}/cache/tokens`,
    signal,
    onProgress: () => {},
  });
  const data = await openTrainingData(prepared, config);
  await data.tokens.close();
  return data;
}

function trainerStateOf(config: RunConfig, maxSteps: number, foreign: ForeignTrainerState): TrainerState {
  const best = bestOf(foreign);
  return {
    ...initialTrainerState(config, maxSteps),
    global_step: foreign.step,
    epoch: foreign.epoch,
    log_history: foreign.history,
    num_input_tokens_seen: foreign.inputTokens,
    total_flos: foreign.totalFlos,
    best_metric: best?.eval_loss ?? null,
    best_global_step: best?.step ?? null,
    stateful_callbacks: earlyStoppingState(
      patienceUsed({ stateful_callbacks: foreign.callbacks }),
      earlyStoppingRule(config),
    ),
  };
}

/** The log line with the lowest held-out loss. */
function bestOf({ history }: ForeignTrainerState) {
  const measured = history.filter(({ eval_loss }) => eval_loss !== undefined);
  return measured.toSorted((a, b) => a.eval_loss! - b.eval_loss!)[0];
}

function leftOut(files: readonly string[], trainer: ForeignTrainerState): string[] {
  const { bestMetric } = trainer;
  const unknown = [...files, ...callbacksLeftOut(trainer)];
  if (bestMetric === undefined || bestMetric === bestOf(trainer)?.eval_loss) return unknown;
  return [...unknown, `best_metric ${bestMetric} is not the lowest held-out loss of the log, which counts here`];
}
