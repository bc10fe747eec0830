import type { HostFacts, ModelFile } from "../../../shared/hosts/messages.ts";

/** What a host must be like, as the launching host sees it. */
export interface HostExpectations {
  readonly version: string;
  readonly node: string;
  /** Workers that shall run there. */
  readonly gpus: number;
  readonly model: string;
  readonly modelFiles: readonly ModelFile[];
  readonly threadsPerWorker: number;
  /** Set to cpu, no GPU is wanted. */
  readonly device: string;
}

/** What a host said, and when. */
export interface HostAnswer {
  readonly facts: HostFacts;
  /** Wall clock of the launching host at the question and at the answer, in milliseconds. */
  readonly askedMs: number;
  readonly answeredMs: number;
}

export interface HostProblem {
  readonly problem: string;
  /** True when the run cannot work; otherwise it is only told. */
  readonly fatal: boolean;
}

/** Milliseconds that two clocks may differ: beyond, logs of several hosts cannot be read side by side. */
const clockToleranceMs = 5000;
/** Milliseconds from which on certificates are taken for expired, or not yet valid. */
const clockLimitMs = 5 * 60_000;
/** Bytes that logs and records of a long run take. */
const neededBytes = 64 * 1024 * 1024;

/** Says what is wrong with a host. */
export function judgeHost({ answeredMs, askedMs, facts }: HostAnswer, expected: HostExpectations): HostProblem[] {
  const problems: HostProblem[] = [];
  const refuse = (problem: string) => problems.push({ problem, fatal: true });
  const tell = (problem: string) => problems.push({ problem, fatal: false });
  if (facts.version !== expected.version) refuse(`coord is ${facts.version} there, ${expected.version} here`);
  if (facts.node.split(".")[0] !== expected.node.split(".")[0]) {
    tell(`Node is ${facts.node} there, ${expected.node} here`);
  }
  if (facts.modelProblem !== undefined) {
    refuse(
      `the model cannot be read: ${facts.modelProblem}; put it at ${expected.model} on every host (shared disk, rsync)`,
    );
  } else {
    const difference = differingFile(facts.model ?? [], expected.modelFiles);
    if (difference !== undefined) refuse(`the model is another one: ${difference}; copy ${expected.model} there again`);
  }
  const offsetMs = facts.clockMs - (askedMs + answeredMs) / 2;
  // Half of the time between question and answer is not known to belong to either way.
  const surelyMs = Math.abs(offsetMs) - (answeredMs - askedMs) / 2;
  const sentence = `its clock is ${(Math.abs(offsetMs) / 1000).toFixed(1)} s ${offsetMs > 0 ? "ahead" : "behind"}`;
  if (surelyMs > clockLimitMs) refuse(`${sentence}; set it (chrony, ntpd)`);
  else if (surelyMs > clockToleranceMs) tell(`${sentence}; logs of the hosts will not fit together`);
  if (facts.callbackProblem !== undefined) {
    refuse(`cannot reach back: ${facts.callbackProblem}; check --interface, firewall and --master-port`);
  }
  if (facts.homeProblem !== undefined) refuse(`${facts.home} cannot be written: ${facts.homeProblem}`);
  else if ((facts.freeBytes ?? neededBytes) < neededBytes) {
    refuse(
      `${facts.home} has ${Math.floor(facts.freeBytes! / 1024 ** 2)} MiB left, ${neededBytes / 1024 ** 2} are needed`,
    );
  }
  if (expected.device !== "cpu" && facts.gpus !== undefined && facts.gpus < expected.gpus) {
    tell(`${expected.gpus} workers for ${facts.gpus} GPUs`);
  }
  const threads = expected.gpus * expected.threadsPerWorker;
  if (threads > facts.processors) {
    tell(`${threads} compute threads for ${facts.processors} processors; --threads-per-worker sets them`);
  }
  return problems;
}

/** The first file in which two copies of a model differ, in words. */
export function differingFile(there: readonly ModelFile[], here: readonly ModelFile[]): string | undefined {
  const byName = new Map(there.map((file) => [file.name, file]));
  for (const { bytes, digest, name } of here) {
    const other = byName.get(name);
    if (other === undefined) return `${name} is missing`;
    if (other.bytes !== bytes) return `${name} has ${other.bytes} bytes there, ${bytes} here`;
    if (other.digest !== digest) return `${name} has another content`;
  }
  return undefined;
}
