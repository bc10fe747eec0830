import type { RunConfig } from "../../shared/config/schema.ts";

/** The variables that --env names: NAME=VALUE, or NAME for the value that it has here. */
export function givenVariables(
  { env }: Pick<RunConfig, "env">,
  here: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const pairs = env.map((text) => {
    const at = text.indexOf("=");
    return at < 0 ? [text, here[text] ?? ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}
