import { type Setting, settings } from "./settings.ts";

/** One command-line option, in the shape that yargs' `options` takes. */
export interface FlagOption {
  readonly alias: string[];
  readonly describe: string;
  readonly group: string;
  readonly type?: "boolean";
  readonly requiresArg?: boolean;
}

/**
 * The flags of the settings, by kebab-case name. Values stay text (shared/config/resolve.ts converts and checks them,
 * the same way as the environment's), and there are no defaults, so that a flag not given can be told from one that is.
 */
export function flagOptions(wanted: readonly Setting[] = settings): Record<string, FlagOption> {
  return Object.fromEntries(wanted.map((setting) => [setting.flag, flagOption(setting)]));
}

function flagOption(setting: Setting): FlagOption {
  const common = { alias: [...setting.aliases], describe: helpText(setting), group: `${setting.group}:` };
  return setting.kind === "boolean" ? { ...common, type: "boolean" } : { ...common, requiresArg: true };
}

/** Description, choices and default: "What computes gradients: onnx, tfjs (default: onnx)." */
export function helpText(setting: Setting): string {
  const { description, choices } = setting;
  const value = defaultText(setting);
  const extra = [choices?.join(", "), value === undefined ? undefined : `default: ${value}`].filter(Boolean);
  return extra.length === 0 ? description : `${description} [${extra.join("; ")}]`;
}

/** The default as the user would type it; undefined where there is none or the description says it in words. */
export function defaultText(setting: Setting): string | undefined {
  if (setting.default === undefined || setting.description.includes("default:")) return undefined;
  if (setting.kind === "boolean" && setting.default === false) return undefined;
  return Array.isArray(setting.default) ? setting.default.join(",") : String(setting.default);
}
