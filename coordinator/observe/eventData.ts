/** Figures of an event (the proto's `data_json`), read field by field: a newer coordinator may send more. */
export interface EventData {
  /** "step", "evaluation", "checkpoint": the step. */
  readonly step?: number;
  /** "step", "evaluation": mean loss per label token, in nats. */
  readonly loss?: number;
  /** "step". */
  readonly learningRate?: number;
  /** "data": work done and, where it is known, to do, in the unit that the message names. */
  readonly done?: number;
  readonly total?: number;
  /** "checkpoint": the directory. */
  readonly path?: string;
  /** "error": the worker that failed, for people: "rank 3 (node 0, pid 4711)". */
  readonly worker?: string;
  /** "error": the last lines that the worker wrote to standard error. */
  readonly lastLines?: string;
  /** "error": the file that holds all of them. */
  readonly log?: string;
  /** "error", "warning": code of the error catalogue. */
  readonly code?: string;
}

const numberFields = ["step", "loss", "learningRate", "done", "total"] as const;
const textFields = ["path", "worker", "lastLines", "log", "code"] as const;

/** Reads an event's figures; what is not JSON or not of the expected type is left out. */
export function parseEventData(json: string): EventData {
  const parsed = parseObject(json);
  const numbers = numberFields.filter((name) => typeof parsed[name] === "number");
  const texts = textFields.filter((name) => typeof parsed[name] === "string" && parsed[name] !== "");
  return Object.fromEntries([...numbers, ...texts].map((name) => [name, parsed[name]]));
}

function parseObject(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
