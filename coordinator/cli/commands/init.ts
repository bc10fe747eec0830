import { resolve } from "node:path";
import { configTemplate } from "../../../shared/config/configTemplate.ts";
import { flagOptions } from "../../../shared/config/flags.ts";
import { resolveOverrides } from "../../../shared/config/resolve.ts";
import { CoordError } from "../../../shared/errors.ts";
import { createFileAtomic } from "../../../shared/process/atomicFile.ts";
import { type Command, textValue } from "../command.ts";
import { settingValues } from "../loadConfig.ts";

/** Readable by everybody: it holds no secrets, only the names of their files. */
const mode = 0o644;

export const initCommand: Command = {
  usage: "init [file]",
  describe: "Write a coord.yaml that explains every setting. Flags given are filled in; a file that is there stays.",
  positionals: { file: { describe: "File to write [default: coord.yaml].", type: "string" } },
  options: flagOptions(),
  examples: [["coord init --model DIR --data FILE", "Write coord.yaml for a model and data"]],
  async run(values, context) {
    const file = textValue(values, "file") ?? "coord.yaml";
    const text = configTemplate(resolveOverrides(settingValues(values)));
    if (!(await createFileAtomic(resolve(context.workingDirectory, file), text, { mode }))) {
      throw new CoordError("CONFIG_INVALID", `${file} exists and is left as it is; name another file or move it away.`);
    }
    context.stdout.write(
      `Wrote ${file}; coord launch reads it${file === "coord.yaml" ? "" : ` with --config ${file}`}.\n`,
    );
    return 0;
  },
};
