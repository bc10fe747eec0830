import { stepOf } from "../storeRules.ts";

/**
 * Objects below a prefix:
 *   checkpoint-N/gG-ATTEMPT/FILE        files of one attempt to save step N in generation G; never written twice
 *   checkpoint-N/gG.json                the commit: says which attempt counts, created if absent
 *   checkpoint-N/gG.invalid-ATTEMPT.json  a commit that did not verify, moved aside with its attempt
 * Whatever a writer does under the names of its own attempt cannot harm another writer's checkpoint.
 */
export interface AttemptId {
  /** `checkpoint-N`. */
  readonly name: string;
  readonly generation: bigint;
  /** Eight hexadecimal digits. */
  readonly attempt: string;
}

export function attemptKey({ attempt, generation, name }: AttemptId, file = ""): string {
  return `${name}/g${generation}-${attempt}/${file}`;
}

export function commitKey(name: string, generation: bigint): string {
  return `${name}/g${generation}.json`;
}

export function invalidCommitKey(name: string, generation: bigint, suffix: string): string {
  return `${name}/g${generation}.invalid-${suffix}.json`;
}

export type ParsedKey =
  | ({ readonly kind: "file"; readonly file: string } & AttemptId)
  | { readonly kind: "commit"; readonly name: string; readonly generation: bigint }
  | { readonly kind: "other" };

/** What a key below the prefix is. */
export function parseKey(key: string): ParsedKey {
  const [, name, number, attempt, file, commit] =
    /^(checkpoint-\d+)\/g(0|[1-9]\d{0,19})(?:-([0-9a-f]{8})\/([^/]+)|(\.json))$/.exec(key) ?? [];
  if (name === undefined || number === undefined || stepOf(name) === undefined) return { kind: "other" };
  const generation = BigInt(number);
  if (commit !== undefined) return { kind: "commit", name, generation };
  return { kind: "file", name, generation, attempt: attempt!, file: file! };
}
