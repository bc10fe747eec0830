/** One line of `coord doctor`. */
export interface Finding {
  readonly name: string;
  readonly level: Level;
  /** What was found, with its number and unit. */
  readonly value: string;
  /** What to do; only for warnings and problems. */
  readonly remedy?: string;
}

export type Level =
  /** As it should be. */
  | "ok"
  /** Training works, but slower or closer to a limit than need be. */
  | "warning"
  /** Training will fail. */
  | "problem";

export const ok = (name: string, value: string): Finding => ({ name, level: "ok", value });
export const warning = (name: string, value: string, remedy: string): Finding => ({
  name,
  level: "warning",
  value,
  remedy,
});
export const problem = (name: string, value: string, remedy: string): Finding => ({
  name,
  level: "problem",
  value,
  remedy,
});
