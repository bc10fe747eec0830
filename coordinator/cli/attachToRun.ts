import { join } from "node:path";
import { z } from "zod";
import { isS3 } from "../../shared/checkpoint/location.ts";
import { assertNever, CoordError } from "../../shared/errors.ts";
import { readJsonFile } from "../../shared/process/atomicFile.ts";
import type { Endpoint } from "../../shared/rpc/client.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { type FollowEnd, followRun } from "../observe/followRun.ts";
import { renderSummary, type SummaryOptions } from "../observe/renderSummary.ts";
import { createLiveView, createPlainView } from "../observe/runView.ts";
import { wantsColor } from "../observe/style.ts";
import type { ViewModel } from "../observe/viewModel.ts";
import { openRunClient } from "../runs/runClient.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import type { CommandContext } from "./command.ts";
import { followedRun } from "./followedRun.ts";

/** A run with a living coordinator. */
export interface ReachableRun extends Endpoint {
  readonly runId: string;
}

export interface AttachOptions {
  /** True for the command that started the run: its Ctrl-C is meant for the run. */
  readonly owner: boolean;
  /** Steps between lines where the view is not a terminal. */
  readonly loggingSteps: number;
  /** Events before this wall-clock time are not shown one by one. */
  readonly showFromMs: number;
}

/** Shows a run until it ends or the user leaves, prints the summary and returns the exit code that follows. */
export async function attachToRun(run: ReachableRun, options: AttachOptions, context: CommandContext): Promise<number> {
  const { stdout, environment } = context;
  const terminal = stdout.isTTY && environment["TERM"] !== "dumb";
  const color = wantsColor(terminal, environment);
  const view = terminal ? createLiveView(stdout, color) : createPlainView(stdout, options.loggingSteps);
  const directory = new RunDirectory(coordHome(environment), run.runId);
  const client = openRunClient(run);
  let end: FollowEnd;
  try {
    end = await followRun({
      run: followedRun(client, directory),
      view,
      viewer: { owner: options.owner, terminal, runId: run.runId },
      onSignal: context.onSignal,
      showFromMs: options.showFromMs,
    });
  } finally {
    view.close();
    client.close();
  }
  switch (end.kind) {
    case "left":
      return end.exitCode;
    case "died":
      throw coordinatorDied(directory, end.model);
    case "ended":
      return summarize(directory, end, options, color, context);
    default:
      return assertNever(end);
  }
}

function coordinatorDied({ runId, paths }: RunDirectory, { step }: ViewModel): CoordError {
  return new CoordError(
    "COORDINATOR_UNREACHABLE",
    `The coordinator of run ${runId} died after step ${step} without leaving a result. coord kill-stale ends what it ` +
      `left behind, coord resume ${runId} continues from the newest checkpoint; ` +
      `${join(paths.logs, "coordinator.log")} may say why.`,
  );
}

async function summarize(
  directory: RunDirectory,
  end: Extract<FollowEnd, { kind: "ended" }>,
  options: AttachOptions,
  color: boolean,
  { stdout }: CommandContext,
): Promise<number> {
  const result = await directory.readResult();
  const model: ViewModel =
    result === undefined
      ? end.model
      : {
          ...end.model,
          runId: directory.runId,
          state: result.state,
          step: result.step,
          maxSteps: result.maxSteps,
          // The reason of the last state that was seen may be older than the end.
          reason: result.message,
        };
  const goodput = await readGoodput(model.output);
  const lines = renderSummary(model, {
    ...(goodput && { goodput }),
    color,
    logs: directory.paths.logs,
    sinceMs: options.showFromMs,
    ...(result?.adapter ? { adapter: result.adapter } : {}),
  });
  stdout.write(`${lines.join("\n")}\n`);
  const exitCode = result?.exitCode ?? model.exitCode;
  return model.state === "stopped" ? (end.exitCode ?? exitCode) : exitCode;
}

const trainResultsSchema = z.object({
  goodput: z.number(),
  lost_to_restarts_seconds: z.number(),
  lost_to_repeated_steps_seconds: z.number(),
});

/** Undefined where the run has left no results on this disk. */
async function readGoodput(output: string): Promise<SummaryOptions["goodput"]> {
  if (output === "" || isS3(output)) return undefined;
  const results = await readJsonFile(join(output, "train_results.json"), trainResultsSchema).catch(() => undefined);
  if (results === undefined) return undefined;
  const { goodput, lost_to_repeated_steps_seconds, lost_to_restarts_seconds } = results;
  return { share: goodput, restartSeconds: lost_to_restarts_seconds, repeatedSeconds: lost_to_repeated_steps_seconds };
}
