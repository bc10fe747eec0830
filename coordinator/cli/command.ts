import type { Options, PositionalOptions } from "yargs";
import type { ViewSignal } from "../observe/decideOnSignal.ts";

/** What a command sees of the process that it runs in. */
export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Directory that relative paths start from. */
  readonly workingDirectory: string;
  readonly stdout: NodeJS.WriteStream;
  /** Calls the listener for each signal until the returned function is called; without listeners the default applies. */
  onSignal(listener: (signal: ViewSignal) => void): () => void;
}

/** Values of positionals and options by kebab-case name; undefined when not given. */
export type CommandValues = Readonly<Record<string, unknown>>;

/** One command of `coord`. */
export interface Command {
  /** Name and positionals as yargs writes them: "resume [run]". */
  readonly usage: string;
  readonly describe: string;
  readonly positionals?: Readonly<Record<string, PositionalOptions>>;
  readonly options: Readonly<Record<string, Options>>;
  /** Command lines with what each does. */
  readonly examples?: readonly (readonly [string, string])[];
  /** Does the work and returns the exit code. */
  run(values: CommandValues, context: CommandContext): Promise<number>;
}

/** The option of every reading command. */
export const jsonOption = { json: { type: "boolean", describe: "Print one JSON document." } } as const;

/** The text of an option or positional; the last one where it was given more than once. */
export function textValue(values: CommandValues, name: string): string | undefined {
  const value = values[name];
  const last: unknown = Array.isArray(value) ? value.at(-1) : value;
  return last === undefined ? undefined : String(last);
}
