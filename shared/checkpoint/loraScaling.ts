/** PEFT's settings (peft/tuners/lora/config.py) that decide the rank and the scale of each module's adapter. */
export interface LoraScaling {
  readonly r: number;
  readonly lora_alpha: number;
  /** Scale alpha / √rank in place of alpha / rank (Kalajdzievski 2023). */
  readonly use_rslora?: boolean;
  /** Other ranks and alphas for modules whose name a regular expression matches to its end, from a dot on. */
  readonly rank_pattern?: Readonly<Record<string, number>>;
  readonly alpha_pattern?: Readonly<Record<string, number>>;
}

export function rankOf({ r, rank_pattern = {} }: LoraScaling, module: string): number {
  return matching(rank_pattern, module) ?? r;
}

/** What the product of the two matrices of a module's adapter is multiplied with. */
export function scaleOf(config: LoraScaling, module: string): number {
  const rank = rankOf(config, module);
  const alpha = matching(config.alpha_pattern ?? {}, module) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** The first pattern that matches decides, as in PEFT's get_pattern_key. */
function matching(patterns: Readonly<Record<string, number>>, module: string): number | undefined {
  return Object.entries(patterns).find(([pattern]) => new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(module))?.[1];
}

/** Compiles `["q_proj=16", …]`, what --rank-pattern and --alpha-pattern take. */
export function parsePatterns(entries: readonly string[]): Record<string, number> {
  return Object.fromEntries(entries.map(splitPattern));
}

/** The reverse of parsePatterns. */
export function listPatterns(patterns: Readonly<Record<string, number>> = {}): string[] {
  return Object.entries(patterns).map(([pattern, value]) => `${pattern}=${value}`);
}

/** What is wrong with a value of --rank-pattern or --alpha-pattern, one sentence each. */
export function patternProblems(flag: "--rank-pattern" | "--alpha-pattern", entries: readonly string[]): string[] {
  return entries.flatMap((entry) => {
    const [pattern, value] = splitPattern(entry);
    const allowed = flag === "--rank-pattern" ? Number.isInteger(value) : Number.isFinite(value);
    if (pattern !== "" && isPattern(pattern) && allowed && value > 0) return [];
    return [`${flag} wants MODULE=NUMBER, such as q_proj=16, got ${JSON.stringify(entry)}.`];
  });
}

function splitPattern(entry: string): [pattern: string, value: number] {
  const at = entry.lastIndexOf("=");
  return at < 0 ? ["", Number.NaN] : [entry.slice(0, at).trim(), Number(entry.slice(at + 1))];
}

/** Whether a text is a regular expression. */
export function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}
