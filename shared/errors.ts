/**
 * The one catalogue of errors. A code says what kind of thing went wrong; the message of each instance is one sentence
 * with the value, its unit and the way out. README.md's table of exit codes and errors is held against this file by a test.
 */

/** Exit codes of every command. */
export const exitCodes = {
  done: 0,
  trainingFailed: 1,
  usage: 2,
  preflightRefused: 3,
  worthRetrying: 75,
  stoppedByUser: 130,
} as const;

/** gRPC status names, as in the gRPC specification. */
export type GrpcStatusName =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED"
  | "CANCELLED"
  | "DEADLINE_EXCEEDED";

interface CatalogueEntry {
  readonly grpcStatus: GrpcStatusName;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly exitCode: (typeof exitCodes)[keyof typeof exitCodes];
  /** What this kind of error means, for the reference table. */
  readonly meaning: string;
}

const entry = (
  grpcStatus: GrpcStatusName,
  retryable: boolean,
  exitCode: CatalogueEntry["exitCode"],
  meaning: string,
): CatalogueEntry => ({ grpcStatus, retryable, exitCode, meaning });

export const errorCatalogue = {
  CONFIG_INVALID: entry("INVALID_ARGUMENT", false, 2, "A flag, environment variable or key of coord.yaml is wrong."),
  MODEL_INVALID: entry("FAILED_PRECONDITION", false, 2, "The model directory is missing, damaged or not supported."),
  DATA_INVALID: entry(
    "FAILED_PRECONDITION",
    false,
    2,
    "The data set is missing, empty or has rows of no known format.",
  ),
  TEMPLATE_INVALID: entry("FAILED_PRECONDITION", false, 2, "The chat template is missing or fails on a row."),
  DOWNLOAD_FAILED: entry(
    "UNAVAILABLE",
    true,
    75,
    "A model or data set cannot be downloaded from the hub: no answer, a stall, a wrong hash.",
  ),
  ADAPTER_INVALID: entry(
    "FAILED_PRECONDITION",
    false,
    2,
    "An adapter or checkpoint does not fit the model or LoRA settings.",
  ),
  CHECKPOINT_INVALID: entry("DATA_LOSS", false, 2, "No valid checkpoint where one was asked for."),
  OUTPUT_IN_USE: entry("ALREADY_EXISTS", false, 3, "The output holds another run's checkpoints."),
  RUN_NOT_FOUND: entry("NOT_FOUND", false, 2, "No run of that name, or no run at all."),
  RUN_IN_USE: entry("ALREADY_EXISTS", false, 3, "The run is already going on."),
  PORT_UNAVAILABLE: entry(
    "RESOURCE_EXHAUSTED",
    true,
    3,
    "No free port in the range, or the address is taken by a stranger.",
  ),
  PREFLIGHT_REFUSED: entry("FAILED_PRECONDITION", false, 3, "A check before the start says that the run cannot work."),
  STORAGE_FAILED: entry(
    "RESOURCE_EXHAUSTED",
    false,
    1,
    "A file could not be written or read: disk full, no permission, I/O error.",
  ),
  ENGINE_FAILED: entry("INTERNAL", false, 1, "The tensor library refused or failed."),
  NOT_FINITE: entry("DATA_LOSS", false, 1, "A loss or gradient is NaN or infinite."),
  DIVERGED: entry("DATA_LOSS", false, 1, "Workers that must agree do not: same round, different bytes."),
  DAMAGED: entry("DATA_LOSS", true, 75, "Bytes arrived other than they were sent."),
  WORKER_FAILED: entry("ABORTED", false, 1, "A worker ended more often than --max-restarts allows."),
  STALE_GENERATION: entry("ABORTED", true, 75, "The request belongs to a membership that is over."),
  NOT_A_MEMBER: entry("PERMISSION_DENIED", false, 1, "The caller does not belong to this run."),
  UNAUTHENTICATED: entry("UNAUTHENTICATED", false, 1, "The run's token or certificate is missing or wrong."),
  FORBIDDEN: entry("PERMISSION_DENIED", false, 1, "The token's role does not allow this call."),
  COORDINATOR_UNREACHABLE: entry("UNAVAILABLE", true, 75, "The coordinator does not answer."),
  LIMIT_EXCEEDED: entry("RESOURCE_EXHAUSTED", false, 1, "A message or a request is over a documented limit."),
  INVALID_REQUEST: entry("INVALID_ARGUMENT", false, 1, "A peer sent a request that makes no sense."),
  STOPPED: entry("CANCELLED", false, 130, "The user stopped the run."),
  TERMINATED: entry("CANCELLED", true, 75, "The system asked the process to end (SIGTERM)."),
  INTERNAL: entry("INTERNAL", false, 1, "A defect in coord."),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** An error with a code of the catalogue. `message` is one sentence for the user: what, where, what to do. */
export class CoordError extends Error {
  override readonly name = "CoordError";
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
  get exitCode(): number {
    return errorCatalogue[this.code].exitCode;
  }
  get retryable(): boolean {
    return errorCatalogue[this.code].retryable;
  }
}

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(errorCatalogue, value);
}

/** Maps any thrown value to a CoordError; an unknown one becomes INTERNAL and keeps its cause. */
export function toCoordError(thrown: unknown): CoordError {
  if (thrown instanceof CoordError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new CoordError("INTERNAL", message, { cause: thrown });
}

/** For the default branch of an exhaustive switch. */
export function assertNever(value: never): never {
  throw new CoordError("INTERNAL", `Unexpected value ${JSON.stringify(value)}.`);
}
