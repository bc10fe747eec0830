import { z } from "zod";
import { type ConfigKey, runConfigSchema } from "./schema.ts";

/** What a setting's value looks like. */
export type SettingKind = "integer" | "number" | "boolean" | "text" | "list";

/** One setting of the schema with the names it has in each place. */
export interface Setting {
  readonly key: ConfigKey;
  readonly kind: SettingKind;
  /** Heading under which help and the reference page list it. */
  readonly group: string;
  /** Kebab-case name of the flag, without dashes: `lora-alpha`. */
  readonly flag: string;
  /** Other flags that mean the same, kebab-case: torchrun's and TrainingArguments' names where ours are shorter. */
  readonly aliases: readonly string[];
  /** Name of the environment variable: `COORD_LORA_ALPHA`. */
  readonly environment: string;
  readonly description: string;
  /** Value when nothing is given; undefined where the program works it out. */
  readonly default: unknown;
  readonly choices: readonly string[] | undefined;
}

/** The schema's sections: each goes from its first key to the next one's. */
const groupStarts: Partial<Record<ConfigKey, string>> = {
  nodes: "Launch",
  model: "Model",
  data: "Data",
  loraR: "LoRA",
  output: "Training",
};

const aliases: Partial<Record<ConfigKey, readonly string[]>> = {
  nodes: ["nnodes"],
  gpus: ["nproc-per-node"],
  output: ["output-dir"],
};

interface PropertySchema {
  readonly type: "integer" | "number" | "boolean" | "string" | "array";
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
}

const kinds: Record<PropertySchema["type"], SettingKind> = {
  integer: "integer",
  number: "number",
  boolean: "boolean",
  string: "text",
  array: "list",
};

/** All settings, in the order of the schema. */
export const settings: readonly Setting[] = describeSettings();

const byKebab = new Map(
  settings.flatMap((setting) => [setting.flag, ...setting.aliases].map((name) => [name, setting])),
);
const byCamel = new Map(
  settings.flatMap((setting) => [setting.key, ...setting.aliases.map(camelCase)].map((name) => [name, setting])),
);

/** Finds a setting by its kebab-case, snake_case or camelCase name or alias. */
export function settingNamed(name: string): Setting | undefined {
  return byKebab.get(name.replaceAll("_", "-")) ?? byCamel.get(name);
}

/** `loraAlpha` → `lora-alpha`, `loadIn4bit` → `load-in-4bit`. */
export function kebabCase(camel: string): string {
  return camel.replaceAll(/[A-Z]|\d(?=[a-z])/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `lora-alpha` → `loraAlpha`. */
export function camelCase(kebab: string): string {
  return kebab.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** `lora-alpha` → `lora_alpha`. */
export function snakeCase(kebab: string): string {
  return kebab.replaceAll("-", "_");
}

function describeSettings(): Setting[] {
  const properties = z.toJSONSchema(runConfigSchema, { io: "input" }).properties as Record<ConfigKey, PropertySchema>;
  let group = "";
  return (Object.entries(properties) as [ConfigKey, PropertySchema][]).map(([key, property]) => {
    group = groupStarts[key] ?? group;
    const flag = kebabCase(key);
    return {
      key,
      kind: kinds[property.type],
      group,
      flag,
      aliases: aliases[key] ?? [],
      environment: `COORD_${snakeCase(flag).toUpperCase()}`,
      description: property.description ?? "",
      default: property.default,
      choices: property.enum,
    };
  });
}
