import type { Argv, Options } from "yargs";
import { nearestName } from "../../shared/config/nearestName.ts";
import { CoordError } from "../../shared/errors.ts";
import { packageVersion } from "../../shared/process/packageVersion.ts";
import type { Command, CommandContext, CommandValues } from "./command.ts";
import { commandTable } from "./commandTable.ts";
import { completions } from "./completions.ts";
import { normalizeFlags } from "./normalizeFlags.ts";

/** Options of every command. */
const commonOptions: Readonly<Record<string, Options>> = {
  help: { type: "boolean", alias: "h", describe: "Show this help.", group: "Common:" },
  debug: { type: "boolean", describe: "Show stack traces (or COORD_DEBUG=1).", group: "Common:" },
};

/** Runs the command that the arguments name and returns its exit code; throws CoordErrors for main to report. */
export async function runCli(argv: readonly string[], context: CommandContext): Promise<number> {
  if (argv[0] === "--get-completions") return print(context, (await completions(argv.slice(1), context)).join("\n"));
  const at = argv.findIndex((token) => !token.startsWith("-"));
  const name = at < 0 ? "help" : argv[at]!;
  const rest = argv.filter((_, index) => index !== at);
  const asksHelp = rest.includes("--help") || rest.includes("-h");
  const width = helpWidth(context);

  if (at < 0 && (rest.includes("--version") || rest.includes("-v"))) return print(context, packageVersion());
  if (name === "help") {
    normalizeFlags(
      rest.filter((token) => token !== "--version"),
      commonOptions,
    );
    return print(context, await programHelp(width));
  }
  const command = await loadCommand(name);
  if (asksHelp) return print(context, await commandHelp(command, width));
  return command.run(await parseValues(command, rest), context);
}

/** `coord --help`. */
export async function programHelp(width: number): Promise<string> {
  const parser = (await createYargs([])).usage(
    "coord <command> [options]\n\nDistributed LoRA training from one command.",
  );
  for (const [name, { describe }] of Object.entries(commandTable)) parser.command(name, describe);
  return parser
    .options({
      version: { type: "boolean", describe: "Show the version.", group: "Common:" },
      ...commonOptions,
    })
    .epilogue("coord <command> --help says more. Without a model and data, coord launch trains a built-in demo.")
    .wrap(width)
    .getHelp();
}

/** `coord <command> --help`. */
export async function commandHelp(command: Command, width: number): Promise<string> {
  const parser = declare(await createYargs([]), command).wrap(width);
  for (const [line, meaning] of command.examples ?? []) parser.example(line, meaning);
  return parser.getHelp();
}

async function loadCommand(name: string): Promise<Command> {
  const entry = Object.hasOwn(commandTable, name) ? commandTable[name] : undefined;
  if (entry !== undefined) return entry.load();
  const nearest = nearestName(name, Object.keys(commandTable));
  const hint = nearest === undefined ? "coord --help lists those there are." : `did you mean coord ${nearest}?`;
  throw new CoordError("CONFIG_INVALID", `Unknown command ${JSON.stringify(name)}; ${hint}`);
}

async function parseValues(command: Command, rest: readonly string[]): Promise<CommandValues> {
  const argv = normalizeFlags(rest, { ...command.options, ...commonOptions });
  const parser = declare(await createYargs(argv), command)
    .strict()
    .fail((message, thrown) => {
      // yargs throws for a flag without its value, and hands over a message for everything else.
      throw usageError(message ?? thrown.message, command);
    });
  return parser.parseAsync();
}

function usageError(message: string, { usage }: Command): CoordError {
  const flag = /^Not enough arguments following: (.+)$/.exec(message)?.[1];
  const [name] = usage.split(" ");
  const sentences = [
    [flag !== undefined, `--${flag} needs a value.`],
    [/^Not enough non-option arguments/.test(message), `The command is coord ${usage}.`],
  ] as const;
  const sentence = sentences.find(([fits]) => fits)?.[1] ?? message.replace(/\.?$/, ".");
  return new CoordError("CONFIG_INVALID", `${sentence} See coord ${name} --help.`);
}

function declare(parser: Argv, command: Command): Argv {
  return parser
    .usage(`coord ${command.usage} [options]\n\n${command.describe}`)
    .command(["$0", ...positionals(command)].join(" "), false, (sub) => {
      for (const [name, positional] of Object.entries(command.positionals ?? {})) sub.positional(name, positional);
      return sub;
    })
    .options({ ...command.options, ...commonOptions });
}

/** The words of the usage behind the command's name. */
function positionals({ usage }: Command): string[] {
  return usage.split(" ").slice(1);
}

async function createYargs(argv: readonly string[]): Promise<Argv> {
  const { default: yargs } = await import("yargs");
  return yargs([...argv])
    .scriptName("coord")
    .help(false)
    .version(false)
    .exitProcess(false)
    .parserConfiguration({
      // Spelling is settled by normalizeFlags, and values stay text until shared/config converts them.
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "short-option-groups": false,
      "strip-aliased": true,
    });
}

function helpWidth({ stdout, environment }: CommandContext): number {
  return Math.max(40, Math.min(100, (stdout.columns ?? Number(environment["COLUMNS"])) || 80));
}

function print({ stdout }: CommandContext, text: string): number {
  stdout.write(`${text}\n`);
  return 0;
}
