import { access, constants } from "node:fs/promises";
import { isS3 } from "../../shared/checkpoint/location.ts";
import { contradictions } from "../../shared/config/problems.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { mlflowServer } from "../observe/mlflow/mlflowClient.ts";
import { checkData } from "./checkData.ts";
import { checkModel } from "./checkModel.ts";

/** Checks that take a moment and save a start: everything that is said here would otherwise be said after minutes. */
export async function preflight(
  config: RunConfig,
  signal = new AbortController().signal,
  /** False where workers may be running already and have the memory that they need. */
  starting = true,
): Promise<void> {
  // Settings that were each changed by a resume may contradict those of the run.
  const [contradiction] = contradictions(config);
  if (contradiction !== undefined) throw new CoordError("CONFIG_INVALID", contradiction);
  await checkCertificates(config);
  if (config.reportTo.includes("mlflow")) mlflowServer(process.env);
  if (config.evalData !== undefined && config.evalSplit > 0) {
    throw new CoordError("CONFIG_INVALID", "Give either --eval-data or --eval-split, not both.");
  }
  const checks = await Promise.allSettled([
    checkModel(config, starting, signal),
    checkData(config, signal),
    checkBucket(config),
  ]);
  for (const check of checks) if (check.status === "rejected") throw check.reason;
}

/** A bucket that cannot be written would be found out at the first checkpoint. */
async function checkBucket({ output }: RunConfig): Promise<void> {
  if (!isS3(output)) return;
  const { probeBucket } = await import("../../shared/checkpoint/s3/probeBucket.ts");
  await probeBucket(output.replaceAll("{run}", ""));
}

/** The coordinator would find out when it listens, agents when they join. */
async function checkCertificates({ tlsCa, tlsCert, tlsKey }: RunConfig): Promise<void> {
  for (const [flag, path] of Object.entries({ "--tls-cert": tlsCert, "--tls-key": tlsKey, "--tls-ca": tlsCa })) {
    if (path === undefined) continue;
    await access(path, constants.R_OK).catch((cause: NodeJS.ErrnoException) => {
      throw new CoordError("CONFIG_INVALID", `${flag} names ${path}, which cannot be read (${cause.code}).`, { cause });
    });
  }
}
