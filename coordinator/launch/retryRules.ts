/** How a place's process ended. */
export interface PlaceExit {
  readonly exitCode: number;
  readonly signal: string;
  /** The last lines that it wrote to standard error. */
  readonly lastLines?: string;
}

/** What follows such an end: a new start within the budget, or the end of the run, because another start would end the same. */
export interface RetryRule {
  readonly exitCodes?: readonly number[];
  readonly signal?: string;
  /** Looked for in the last lines of standard error. */
  readonly pattern?: RegExp;
  readonly decision: "retry" | "give up";
  /** One sentence: what it means and what to do. */
  readonly meaning: string;
}

/** The first rule that fits counts; an end that none fits is tried again. README.md's table is made from this list. */
export const retryRules: readonly RetryRule[] = [
  {
    exitCodes: [2, 3],
    decision: "give up",
    meaning: "The configuration or this host is refused; another start would be, too.",
  },
  {
    pattern: /CUDA(_ERROR_OUT_OF_MEMORY| out of memory)|VK_ERROR_OUT_OF_DEVICE_MEMORY|not enough (GPU|device) memory/i,
    decision: "give up",
    meaning:
      "The GPU's memory is too small for a micro-batch: lower --per-device-train-batch-size or --max-length; coord plan estimates what fits.",
  },
  {
    pattern: /JavaScript heap out of memory/,
    decision: "give up",
    meaning: "Node's own heap is too small: raise it with NODE_OPTIONS=--max-old-space-size=MIB.",
  },
  {
    pattern: /ERR_MODULE_NOT_FOUND|Cannot find (module|package)|cannot open shared object file|GLIBC_[\d.]+' not found/,
    decision: "give up",
    meaning: "The installation is incomplete on that node: run npm ci there, and coord doctor.",
  },
  {
    pattern: /ENOSPC|No space left on device/,
    decision: "give up",
    meaning: "A disk of that node is full.",
  },
  { exitCodes: [75], decision: "retry", meaning: "It says itself that it is worth trying again." },
  {
    exitCodes: [137],
    signal: "SIGKILL",
    decision: "retry",
    meaning:
      "It was killed: by the kernel for want of memory, by its memory limit, or by somebody; the report tells which.",
  },
  {
    pattern: /ECONNRESET|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/,
    decision: "retry",
    meaning: "The network failed.",
  },
];

/** The rule that an end falls under, if any. */
export function retryRuleFor(exit: PlaceExit): RetryRule | undefined {
  return retryRules.find(
    ({ exitCodes, pattern, signal }) =>
      (exit.signal !== "" && exit.signal === signal) ||
      (exit.signal === "" && exitCodes?.includes(exit.exitCode)) ||
      pattern?.test(exit.lastLines ?? ""),
  );
}

/** The table for the README. */
export function retryReference(): string {
  const rows = retryRules.map(({ decision, exitCodes, meaning, pattern, signal }) => {
    const ends = [...(exitCodes ?? []).map((code) => `exit code ${code}`), ...(signal ? [signal] : [])];
    const found = pattern ? [`log: \`${pattern.source.replaceAll("|", "\\|")}\``] : [];
    return `| ${[...ends, ...found].join(", ")} | ${decision} | ${meaning} |`;
  });
  const rest = "| any other failure | retry | At most --max-restarts times within --restart-window-ms. |";
  return ["| a worker that ends with | what follows | why |", "| --- | --- | --- |", ...rows, rest].join("\n");
}
