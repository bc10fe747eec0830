import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { describeModel } from "../shared/hosts/describeModel.ts";
import { type HostFacts, type HostQuestion, hostQuestionSchema } from "../shared/hosts/messages.ts";
import { packageVersion } from "../shared/process/packageVersion.ts";
import { coordHome } from "../shared/runPaths.ts";

// Answers a launcher's questions about this host: the question on standard input, the facts on standard output.

/** Milliseconds that the way back to the launching host may take. */
const callbackTimeoutMs = 5000;

const question = hostQuestionSchema.parse(JSON.parse(await text(process.stdin)));
process.stdout.write(`${JSON.stringify(await examine(question))}\n`);

async function examine({ callback, greeting, model }: HostQuestion): Promise<HostFacts> {
  const home = coordHome();
  const [homeProblem, files, callbackProblem, gpus] = await Promise.all([
    problemOf(tryToWrite(home)),
    describeModel(model).then(
      (found) => ({ model: found }),
      (thrown: unknown) => ({ modelProblem: reason(thrown) }),
    ),
    callback === undefined ? undefined : problemOf(reach(callback, greeting)),
    countGpus(),
  ]);
  const space = homeProblem === undefined ? await statfs(home) : undefined;
  return {
    hostname: hostname(),
    node: process.version,
    version: packageVersion(),
    processors: availableParallelism(),
    clockMs: Date.now(),
    home,
    ...files,
    ...(gpus === undefined ? {} : { gpus }),
    ...(homeProblem === undefined ? {} : { homeProblem }),
    ...(space === undefined ? {} : { freeBytes: space.bavail * space.bsize }),
    ...(callbackProblem === undefined ? {} : { callbackProblem }),
  };
}

async function tryToWrite(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const probe = join(directory, `.host-check-${process.pid}`);
  await writeFile(probe, "", { flag: "wx" });
  await rm(probe);
}

async function reach(address: string, greeting: string): Promise<void> {
  const separator = address.lastIndexOf(":");
  const host = address.slice(0, separator).replace(/^\[(.*)\]$/, "$1");
  const socket = connect({ host, port: Number(address.slice(separator + 1)) });
  try {
    socket.setTimeout(callbackTimeoutMs, () =>
      socket.destroy(new Error(`${address} does not answer within ${callbackTimeoutMs / 1000} s`)),
    );
    if ((await text(socket)) !== greeting) throw new Error(`somebody else answers at ${address}`);
  } finally {
    socket.destroy();
  }
}

async function countGpus(): Promise<number | undefined> {
  const { failed, stdout } = await execa("nvidia-smi", ["-L"], { reject: false, timeout: 10_000, stdin: "ignore" });
  return failed ? undefined : stdout.split("\n").filter((line) => line.startsWith("GPU ")).length;
}

function problemOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(() => undefined, reason);
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
