import { resolve } from "node:path";
import { isS3 } from "../../../shared/checkpoint/location.ts";
import { exitCodes, toCoordError } from "../../../shared/errors.ts";
import { examineHost } from "../../doctor/examineHost.ts";
import type { Finding } from "../../doctor/finding.ts";
import { renderFindings } from "../../doctor/renderFindings.ts";
import { wantsColor } from "../../observe/style.ts";
import { type Command, jsonOption, textValue } from "../command.ts";

export const doctorCommand: Command = {
  usage: "doctor",
  describe: "Check whether this host can train: versions, engine, GPUs, memory, disk, limits, ports.",
  options: {
    ...jsonOption,
    output: {
      describe: "Directory or s3:// URL that a run would write to [default: this directory].",
      requiresArg: true,
    },
  },
  async run(values, context) {
    const { environment, stdout } = context;
    const output = textValue(values, "output") ?? ".";
    // A bucket has no disk to look at; the cache and the run's own files are on this host's.
    const findings = await examineHost(resolve(context.workingDirectory, isS3(output) ? "." : output));
    if (isS3(output)) findings.push(await examineBucket(output));
    const lines = values["json"]
      ? [JSON.stringify(findings, undefined, 2)]
      : renderFindings(findings, wantsColor(stdout.isTTY, environment));
    stdout.write(`${lines.join("\n")}\n`);
    return findings.some(({ level }) => level === "problem") ? exitCodes.preflightRefused : exitCodes.done;
  },
};

async function examineBucket(output: string): Promise<Finding> {
  const { probeBucket } = await import("../../../shared/checkpoint/s3/probeBucket.ts");
  return probeBucket(output).then(
    () => ({ name: "output", level: "ok", value: `${output} can be written, and commits are conditional` }),
    (thrown: unknown) => ({ name: "output", level: "problem", value: output, remedy: toCoordError(thrown).message }),
  );
}
