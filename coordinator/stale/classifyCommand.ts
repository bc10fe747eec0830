import type { ProcessRole } from "../../shared/process/record.ts";

/** Node's options that take the next argument as their value. */
const optionsWithValue = new Set([
  "-r",
  "--require",
  "--import",
  "--loader",
  "--experimental-loader",
  "-C",
  "--conditions",
]);
/** With these there is no program file. */
const optionsWithoutProgram = new Set(["-e", "--eval", "-p", "--print", "-pe", "-i", "--interactive"]);

const entryFiles: readonly (readonly [RegExp, ProcessRole])[] = [
  [/(^|\/)worker\/(agent|watch)Main\.[jt]s$/, "agent"],
  [/(^|\/)worker\/main\.[jt]s$/, "worker"],
  [/(^|\/)coordinator\/\w*[mM]ain\.[jt]s$/, "coordinator"],
];
const cliFile = /(^|\/)(coordinator\/cli\/main\.[jt]s|\.?bin\/coord)$/;

/** Which process of a run a command line starts; undefined when it is none, a `coord status` for example. */
export function classifyCommand(argv: readonly string[]): ProcessRole | undefined {
  if (!/(^|\/)node(js)?$/.test(argv[0] ?? "")) return undefined;
  const at = programIndex(argv);
  const program = argv[at];
  if (program === undefined) return undefined;
  for (const [pattern, role] of entryFiles) if (pattern.test(program)) return role;
  if (!cliFile.test(program)) return undefined;
  return argv.slice(at + 1).find((argument) => !argument.startsWith("-")) === "agent" ? "agent" : undefined;
}

/** The value of `--name value` or `--name=value`. */
export function optionValue(argv: readonly string[], name: string): string | undefined {
  const at = argv.indexOf(name);
  if (at >= 0) return argv[at + 1];
  return argv.find((argument) => argument.startsWith(`${name}=`))?.slice(name.length + 1);
}

function programIndex(argv: readonly string[]): number {
  for (let at = 1; at < argv.length; at++) {
    const argument = argv[at]!;
    if (!argument.startsWith("-")) return at;
    if (optionsWithoutProgram.has(argument)) return argv.length;
    if (optionsWithValue.has(argument)) at++;
  }
  return argv.length;
}
