import { randomKey, randomUint32, randomUnit } from "../../../shared/rng.ts";

/** Characters of the copies that are replaced. */
const replaced = 1 / 6;

/**
 * As many copies of HuatuoGPT rows, in each of which, but the first, every sixth Chinese character on average is another
 * one of the same rows: the tokenizers must not live on words that they have seen before. The same for the same rows.
 */
export function variedRows(text: string, copies: number): string {
  const rows = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { data: string[] }).data);
  const pool = rows.flatMap((turns) => turns.flatMap((turn) => turn.slice(2).match(han) ?? []));
  const key = randomKey(1, "varied rows");
  let counter = 0;
  const vary = (turn: string) =>
    turn.slice(0, 2) +
    turn
      .slice(2)
      .replace(han, (character) =>
        randomUnit(key, counter++) < replaced ? pool[randomUint32(key, counter++) % pool.length]! : character,
      );
  let varied = "";
  for (let copy = 0; copy < copies; copy++) {
    for (const turns of rows) varied += `${JSON.stringify({ data: copy === 0 ? turns : turns.map(vary) })}\n`;
  }
  return varied;
}

const han = /\p{Script=Han}/gu;
