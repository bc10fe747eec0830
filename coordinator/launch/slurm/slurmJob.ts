import { readFile } from "node:fs/promises";
import { execa } from "execa";
import { CoordError } from "../../../shared/errors.ts";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import { parseJob, type SlurmJob } from "./parseJob.ts";

/** Milliseconds that Slurm's controller has to answer. */
const timeoutMs = 15_000;

/** Submits a batch script; returns the job's number. `from` is a checkpoint to go back to. Throws PREFLIGHT_REFUSED with what sbatch says. */
export async function submit(script: string, from?: string): Promise<string> {
  const result = await slurm("sbatch", ["--parsable", script], from === undefined ? {} : { COORD_RESUME_FROM: from });
  if (result.failed) {
    const gres = /generic resource|gres/i.test(result.text)
      ? " Where the cluster has no GPUs, give --device cpu; --sbatch-arg=--gres=… names others."
      : "";
    throw new CoordError("PREFLIGHT_REFUSED", `sbatch refused the job: ${result.text}.${gres}`);
  }
  return result.text.split(";")[0]!;
}

/** The run's job as Slurm's controller knows it; undefined where there is none any more, or no answer. */
export async function findJob(jobFile: string): Promise<SlurmJob | undefined> {
  const id = await readJobId(jobFile);
  if (id === undefined) return undefined;
  const result = await slurm("squeue", ["--noheader", `--jobs=${id}`, "--states=all", "--format=%T|%N|%r|%e"]);
  return result.failed ? undefined : parseJob(id, result.text);
}

/** Ends a job, in the queue or not. */
export async function cancel(id: string): Promise<void> {
  const result = await slurm("scancel", [id]);
  if (result.failed) throw new CoordError("PREFLIGHT_REFUSED", `scancel ${id} failed: ${result.text}.`);
}

export function writeJobId(jobFile: string, id: string): Promise<void> {
  return writeFileAtomic(jobFile, `${id}\n`, { mode: 0o600 });
}

async function readJobId(jobFile: string): Promise<string | undefined> {
  const text = await readFile(jobFile, "utf8").catch(() => "");
  return /^\d+\s*$/.test(text) ? text.trim() : undefined;
}

async function slurm(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ failed: boolean; text: string }> {
  const options = { env, reject: false, stdin: "ignore", timeout: timeoutMs } as const;
  const { code, failed, stderr, stdout } = await execa(command, args, options);
  if (code === "ENOENT") {
    throw new CoordError("PREFLIGHT_REFUSED", `${command} is not on this host; log in where Slurm's commands are.`);
  }
  const text = (failed ? stderr : stdout).trim().replace(/^\w+: (error|fatal): /gm, "");
  return { failed, text: text.replaceAll("\n", "; ").replace(/\.$/, "") };
}
