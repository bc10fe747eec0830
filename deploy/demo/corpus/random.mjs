/**
 * A small seeded generator (mulberry32), so that the composed text is the same on every machine.
 * @param {number} seed
 */
export function createRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (/** @type {number} */ limit) => Math.floor(next() * limit);
  /** @template T @param {readonly T[]} items @returns {T} */
  const pick = (items) => items[below(items.length)];
  /** @template T @param {readonly T[]} items @returns {T[]} */
  const shuffle = (items) => {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = below(last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other], shuffled[last]];
    }
    return shuffled;
  };
  /** Some of the items, in the order in which they stand. @template T @param {readonly T[]} items @param {number} count */
  const some = (items, count) => {
    const kept = new Set(shuffle(items.map((_, index) => index)).slice(0, count));
    return items.filter((_, index) => kept.has(index));
  };
  return { below, pick, shuffle, some };
}

/**
 * Writes a template out: `[one|another]` becomes one of its alternatives, `{name}` the value of that name.
 * @param {string} template
 * @param {ReturnType<typeof createRandom>} random
 * @param {Readonly<Record<string, string | number>>} values
 */
export function expand(template, random, values = {}) {
  return template
    .replaceAll(/\[([^[\]]*)\]/g, (_, alternatives) => random.pick(alternatives.split("|")))
    .replaceAll(/\{(\w+)\}/g, (slot, name) => {
      if (values[name] === undefined) throw new Error(`Template names ${slot}, which has no value: ${template}`);
      return String(values[name]);
    });
}
