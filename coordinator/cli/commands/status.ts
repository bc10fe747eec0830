import { type Command, jsonOption, textValue } from "../command.ts";
import { printStatus } from "../printStatus.ts";
import { selectRun } from "../selectRun.ts";

export const statusCommand: Command = {
  usage: "status [run]",
  describe: "Show where a run stands and what each of its workers is doing.",
  positionals: { run: { describe: "Id or output directory of the run [default: the newest].", type: "string" } },
  options: jsonOption,
  run: async (values, context) =>
    printStatus(await selectRun(textValue(values, "run"), context), context, values["json"] === true),
};
