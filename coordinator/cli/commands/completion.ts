import { CoordError } from "../../../shared/errors.ts";
import { type Command, textValue } from "../command.ts";
import { completionScripts, shells } from "../completions.ts";

export const completionCommand: Command = {
  usage: "completion <shell>",
  describe: "Print a script that completes commands, flags, choices and runs: bash, zsh or fish.",
  positionals: { shell: { describe: "bash, zsh or fish.", type: "string" } },
  options: {},
  examples: [["coord completion bash >> ~/.bashrc", "From the next shell on"]],
  async run(values, context) {
    const wanted = textValue(values, "shell");
    const shell = shells.find((name) => name === wanted);
    if (shell === undefined) {
      throw new CoordError(
        "CONFIG_INVALID",
        `coord completion knows ${shells.join(", ")}, not ${JSON.stringify(wanted)}.`,
      );
    }
    context.stdout.write(completionScripts[shell]);
    return 0;
  },
};
