import { resolve } from "node:path";
import { exitCodes } from "../../../shared/errors.ts";
import { examineHost } from "../../doctor/examineHost.ts";
import { renderFindings } from "../../doctor/renderFindings.ts";
import { wantsColor } from "../../observe/style.ts";
import { type Command, jsonOption, textValue } from "../command.ts";

export const doctorCommand: Command = {
  usage: "doctor",
  describe: "Check whether this host can train: versions, engine, GPUs, memory, disk, limits, ports.",
  options: {
    ...jsonOption,
    output: { describe: "Directory that a run would write to [default: this one].", requiresArg: true },
  },
  async run(values, context) {
    const { environment, stdout } = context;
    const findings = await examineHost(resolve(context.workingDirectory, textValue(values, "output") ?? "."));
    const lines = values["json"]
      ? [JSON.stringify(findings, undefined, 2)]
      : renderFindings(findings, wantsColor(stdout.isTTY, environment));
    stdout.write(`${lines.join("\n")}\n`);
    return findings.some(({ level }) => level === "problem") ? exitCodes.preflightRefused : exitCodes.done;
  },
};
