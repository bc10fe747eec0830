import { settingNamed } from "../../shared/config/settings.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { runIds } from "../runs/findRun.ts";
import type { Command, CommandContext } from "./command.ts";
import { commandTable } from "./commandTable.ts";

/**
 * What may stand at the last of `words` (the words behind `coord`, the last one perhaps empty): commands, flags, the
 * choices of a flag, runs of this host. Nothing where a file name is expected: the shell knows those.
 */
export async function completions(words: readonly string[], context: CommandContext): Promise<string[]> {
  const word = words.at(-1) ?? "";
  const found = words.length < 2 ? Object.keys(commandTable) : await candidates(words, context);
  return found.filter((candidate) => candidate.startsWith(word));
}

async function candidates(words: readonly string[], context: CommandContext): Promise<string[]> {
  const [name, before, word] = [words[0]!, words.at(-2)!, words.at(-1)!];
  if (name === "completion") return [...shells];
  const command = Object.hasOwn(commandTable, name) ? await commandTable[name]!.load() : undefined;
  if (command === undefined) return [];
  const options = Object.entries(command.options).filter(([, { hidden }]) => !hidden);
  const asked = options.find(([flag]) => before === `--${flag}`)?.[1];
  if (asked !== undefined && asked.type !== "boolean") return [...(settingNamed(before.slice(2))?.choices ?? [])];
  if (word.startsWith("-")) return [...options.map(([flag]) => `--${flag}`), "--help", "--debug"];
  return takesRun(command) ? (await runIds(coordHome(context.environment))).sort().reverse() : [];
}

function takesRun({ usage }: Command): boolean {
  return /\[(run|target)/.test(usage);
}

/** Shells that `coord completion` has a script for. */
export const shells = ["bash", "zsh", "fish"] as const;

/** Asks the program itself, so that the scripts never grow old. */
export const completionScripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `# coord completion bash >> ~/.bashrc
_coord_completions() {
  local IFS=$'\\n'
  COMPREPLY=($(coord --get-completions "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o bashdefault -F _coord_completions coord
`,
  zsh: `#compdef coord
# coord completion zsh > "\${fpath[1]}/_coord", or source it from ~/.zshrc
_coord() {
  local -a found
  found=("\${(@f)$(coord --get-completions "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( \${#found} )) && [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "\${funcstack[1]}" = _coord ]]; then _coord "$@"; else compdef _coord coord; fi
`,
  fish: `# coord completion fish > ~/.config/fish/completions/coord.fish
complete -c coord -a '(coord --get-completions (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
};
