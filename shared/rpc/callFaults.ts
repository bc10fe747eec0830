import { appendFileSync } from "node:fs";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../clock.ts";
import { CoordError } from "../errors.ts";
import { type RandomKey, randomKey, randomUnit } from "../rng.ts";
import type { Init } from "./serviceDefinition.ts";

/** What tests can have happen to a call on its way. */
export interface CallFaults {
  /** It is sent later than others that were made after it. */
  readonly late: boolean;
  /** It is sent twice; only where its .proto says that this changes nothing. */
  readonly twice: boolean;
  /** It succeeds, but its caller hears that the coordinator did not answer. */
  readonly replyLost: boolean;
}

interface Plan {
  readonly seed: string;
  /** Probability of each fault, for each call. */
  readonly rate: number;
  /** File that gets a line for each fault. */
  readonly log: string;
}

/** Calls are held up by at most this, in milliseconds. */
const maxDelayMs = 40;

const plan = readPlan(process.env["COORD_CALL_FAULTS"], process.env["COORD_CALL_FAULTS_LOG"]);
const calls = new Map<string, number>();

/**
 * The faults of a method's next call; undefined unless COORD_CALL_FAULTS is `SEED@RATE` and COORD_CALL_FAULTS_LOG a file.
 * They are a function of the seed, the process's rank and attempt, the method and how often it was called before.
 */
export function nextCallFaults(method: DescMethod): CallFaults | undefined {
  if (!plan) return undefined;
  const name = `${method.parent.name}.${method.name}`;
  const number = calls.get(name) ?? 0;
  calls.set(name, number + 1);
  const key = randomKey(plan.seed, process.env["RANK"] ?? "", process.env["COORD_ATTEMPT"] ?? "", name);
  const faults = faultsOf(
    key,
    number,
    plan.rate,
    method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN,
  );
  for (const [kind, happens] of Object.entries(faults)) if (happens) appendFileSync(plan.log, `${name} ${kind}\n`);
  return faults;
}

/** Makes a call of one answer with these faults. `requests` of a stream are sent again by a second call. */
export async function callWithFaults<Request extends Init | Iterable<Init> | AsyncIterable<Init>>(
  faults: CallFaults,
  request: Request,
  call: (request: Request) => Promise<object>,
): Promise<object> {
  const kept = await keep(request);
  if (faults.late) await systemClock.sleep(Math.random() * maxDelayMs);
  const first = faults.twice ? call(kept).catch(() => undefined) : undefined;
  const [answer] = await Promise.all([call(kept), first]);
  if (faults.replyLost) throw lost();
  return answer;
}

/** Makes a call that is answered by a stream with these faults. */
export async function* streamWithFaults(
  faults: CallFaults,
  isEndless: boolean,
  call: () => AsyncIterable<object>,
): AsyncGenerator<object> {
  if (faults.late) await systemClock.sleep(Math.random() * maxDelayMs);
  if (faults.twice) for await (const _ of call());
  for await (const response of call()) {
    if (!faults.replyLost) yield response;
    else if (isEndless) break;
  }
  if (faults.replyLost) throw lost();
}

/** Which faults the call with this number has. */
export function faultsOf(key: RandomKey, number: number, rate: number, repeatable: boolean): CallFaults {
  const happens = (index: number) => randomUnit(key, 3 * number + index) < rate;
  return { late: happens(0), twice: repeatable && happens(1), replyLost: happens(2) };
}

/** A stream of requests as it can be sent again; a message as it is. */
async function keep<Request extends Init | Iterable<Init> | AsyncIterable<Init>>(request: Request): Promise<Request> {
  if (!(Symbol.asyncIterator in request) && !(Symbol.iterator in request)) return request;
  const messages: Init[] = [];
  for await (const message of request as AsyncIterable<Init>) messages.push(message);
  return messages as unknown as Request;
}

function lost(): CoordError {
  return new CoordError("COORDINATOR_UNREACHABLE", "The coordinator's answer was lost (a test's doing).");
}

function readPlan(text: string | undefined, log: string | undefined): Plan | undefined {
  const [seed, rate] = text?.split("@") ?? [];
  return seed && rate && log ? { seed, rate: Number(rate), log } : undefined;
}
