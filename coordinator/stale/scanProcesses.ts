import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { isAlive, readEnvironment, readIdentity } from "../../shared/process/identity.ts";
import {
  ageOf,
  listPids,
  readNulList,
  readOwnerUid,
  readPidNamespace,
  readResidentBytes,
} from "../../shared/process/procfs.ts";
import { classifyCommand, optionValue } from "./classifyCommand.ts";
import type { ObservedProcess } from "./decideStale.ts";

/** An observed process with what a report tells of it. */
export interface ScannedProcess extends ObservedProcess {
  readonly rank: number | undefined;
  readonly nodeRank: number | undefined;
  readonly localRank: number | undefined;
  readonly gpu: string | undefined;
  readonly residentBytes: number;
}

/** Finds the running processes of this user that were started with a COORD_RUN_ID. Linux only. */
export function scanProcesses(): ScannedProcess[] {
  const uid = process.getuid?.();
  const namespace = readPidNamespace(process.pid);
  return listPids().flatMap((pid) => (readOwnerUid(pid) === uid ? (scanProcess(pid, namespace) ?? []) : []));
}

function scanProcess(pid: number, namespace: string | undefined): ScannedProcess | undefined {
  const identity = readIdentity(pid);
  const environment = readEnvironment(pid);
  const runId = environment?.get("COORD_RUN_ID");
  if (!identity || !environment || !runId) return undefined;
  const argv = readNulList(`/proc/${pid}/cmdline`) ?? [];
  const entry = classifyCommand(argv);
  const home = environment.get("COORD_HOME");
  const scanned: ScannedProcess = {
    identity,
    ownerUid: readOwnerUid(pid),
    runId,
    home: home ? realHome(home) : undefined,
    entry,
    sameNamespace: readPidNamespace(pid) === namespace,
    ageMs: ageOf(identity.startTime),
    rank: toIndex(environment.get("RANK")),
    nodeRank: toIndex(environment.get("NODE_RANK") ?? optionValue(argv, "--node-rank")),
    localRank: toIndex(environment.get("LOCAL_RANK")),
    gpu: environment.get("CUDA_VISIBLE_DEVICES"),
    residentBytes: readResidentBytes(pid) ?? 0,
  };
  // All of the above was one process's only if it is still the same one now. Zombies end here too.
  return isAlive(identity) ? scanned : undefined;
}

/** A directory's one name, whatever links lead to it. */
export function realHome(home: string): string {
  try {
    return realpathSync(resolve(home));
  } catch {
    return resolve(home);
  }
}

function toIndex(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}
