import { flagOptions } from "../../../shared/config/flags.ts";
import { wantsColor } from "../../observe/style.ts";
import { renderPlan } from "../../plan/renderPlan.ts";
import { type Command, jsonOption } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";
import { localSources } from "../localSources.ts";
import { planFor, planOptions } from "../planOptions.ts";

export const planCommand: Command = {
  usage: "plan",
  describe:
    "Estimate a run before it is paid for: steps, tokens, memory, traffic, checkpoints, time and cost. Nothing is started.",
  options: {
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    ...jsonOption,
    ...planOptions,
    ...flagOptions(),
  },
  examples: [
    ["coord plan --model DIR --data FILE --memory-gb 24", "Does it fit, and what is the largest micro-batch?"],
    ["coord plan --samples 223781 --num-train-epochs 2", "How many steps?"],
  ],
  async run(values, context) {
    const document = await planFor(await localSources(await loadConfig(values, context), context), values, context);
    const { environment, stdout } = context;
    const lines = values["json"]
      ? [JSON.stringify(document, undefined, 2)]
      : renderPlan(document, wantsColor(stdout.isTTY, environment));
    stdout.write(`${lines.join("\n")}\n`);
    return 0;
  },
};
