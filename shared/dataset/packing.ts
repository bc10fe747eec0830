/** Samples put together into rows: row r holds `members[starts[r]]` … `members[starts[r + 1] - 1]`. */
export interface Packs {
  /** Of each row, and the number of samples at the end. */
  readonly starts: Uint32Array;
  readonly members: Uint32Array;
}

/** Samples in one row at most: as many as the attention mask can tell apart (worker/model/layers.ts). */
const maxPerRow = 10_000;

/**
 * Packs samples of these lengths, by number, into rows of at most `capacity` tokens: the longest first, each into the
 * row that it fills up best (best-fit decreasing; Johnson et al. 1974). A sample that is longer has a row to itself.
 * A pure function of its arguments; time grows with the samples and the logarithm of the capacity.
 */
export function packSamples(lengths: ArrayLike<number>, capacity: number): Packs {
  const order = longestFirst(lengths, capacity);
  const rowOf = new Uint32Array(lengths.length);
  const counts: number[] = [];
  const open = new OpenRows(capacity);
  for (const sample of order) {
    const length = Math.min(lengths[sample]!, capacity);
    const fitting = open.take(length);
    const row = fitting?.row ?? counts.push(0) - 1;
    rowOf[sample] = row;
    counts[row]!++;
    const left = (fitting?.left ?? capacity) - length;
    if (left > 0 && counts[row]! < maxPerRow) open.put(row, left);
  }
  const starts = new Uint32Array(counts.length + 1);
  counts.forEach((count, row) => {
    starts[row + 1] = starts[row]! + count;
  });
  const next = starts.slice(0, -1);
  const members = new Uint32Array(lengths.length);
  for (const sample of order) members[next[rowOf[sample]!]!++] = sample;
  return { starts, members };
}

/** Sample numbers by length, descending; those of one length ascending. */
function longestFirst(lengths: ArrayLike<number>, capacity: number): Uint32Array {
  const places = new Uint32Array(capacity + 2);
  const shortfall = (sample: number) => capacity - Math.min(lengths[sample]!, capacity);
  for (let sample = 0; sample < lengths.length; sample++) places[shortfall(sample) + 1]!++;
  for (let length = 1; length < places.length; length++) places[length]! += places[length - 1]!;
  const order = new Uint32Array(lengths.length);
  for (let sample = 0; sample < lengths.length; sample++) order[places[shortfall(sample)]!++] = sample;
  return order;
}

/** Rows with space left, found by how much: a complete binary tree over the amounts says where there are any. */
class OpenRows {
  readonly #leaves: number;
  readonly #occupied: Uint8Array;
  readonly #rows = new Map<number, number[]>();

  constructor(capacity: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(capacity + 1));
    this.#occupied = new Uint8Array(2 * this.#leaves);
  }

  put(row: number, left: number): void {
    const rows = this.#rows.get(left);
    if (rows) rows.push(row);
    else this.#rows.set(left, [row]);
    for (let node = this.#leaves + left; node > 0 && !this.#occupied[node]; node >>= 1) this.#occupied[node] = 1;
  }

  /** Takes out the row with the least space that is enough. */
  take(needed: number): { row: number; left: number } | undefined {
    const left = this.#firstFrom(needed);
    if (left === undefined) return undefined;
    const rows = this.#rows.get(left)!;
    const row = rows.pop()!;
    if (rows.length === 0) this.#clear(left);
    return { row, left };
  }

  #firstFrom(amount: number): number | undefined {
    let node = this.#leaves + amount;
    while (!this.#occupied[node]) {
      // Up until there is a right sibling that has any.
      while (node > 1 && (node & 1 || !this.#occupied[node + 1])) node >>= 1;
      if (node <= 1) return undefined;
      node++;
    }
    while (node < this.#leaves) node = this.#occupied[2 * node] ? 2 * node : 2 * node + 1;
    return node - this.#leaves;
  }

  #clear(left: number): void {
    this.#rows.delete(left);
    let node = this.#leaves + left;
    this.#occupied[node] = 0;
    for (node >>= 1; node > 0 && !this.#occupied[2 * node] && !this.#occupied[2 * node + 1]; node >>= 1) {
      this.#occupied[node] = 0;
    }
  }
}
