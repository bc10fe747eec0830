#!/usr/bin/env node
// Composes the demo's fine-tuning rows in HuatuoGPT format; prints them when run:
//   node deploy/demo/data/compose.mjs > deploy/demo/data.jsonl
import { pathToFileURL } from "node:url";
import { createRandom, expand } from "../corpus/random.mjs";
import { complaints } from "./complaints.mjs";
import { habits } from "./habits.mjs";

/** Rows of each topic: every row takes a question, some of the advice and its own wording around them. */
const rowsPerTopic = 8;
/** Every which row has a follow-up question, and every which row writes an ASCII colon, as both occur in the wild. */
const [followUpEvery, asciiColonEvery] = [4, 5];

const greetings = ["", "", "医生您好，", "您好，", "请问，", "你好，想请教一下，"];
const openings = ["您好，", "您好！", "你好，", "您好，不用太担心，", "您好，感谢您的提问。", "您好，根据您说的情况，"];
const bridge = "[建议您注意下面几点：|平时可以这样做：|可以先试试这些办法：|一般来说，建议这样做：]";
const closings = [
  "{doctor}，[请及时去医院就诊|建议到医院检查一下|要尽早看医生]。",
  "{doctor}，[最好请医生看一看|应该及时就医]，不要自己随便用药。",
];
const wishes = ["", "", "祝您健康！", "希望对您有帮助。"];

/**
 * All rows, shuffled; the same seed gives the same rows, and no two are equal.
 * @param {number} seed
 * @returns {{ data: string[] }[]}
 */
export function composeRows(seed = 7) {
  const random = createRandom(seed);
  const rows = new Map();
  for (const topic of [...complaints, ...habits]) {
    for (let index = 0; index < rowsPerTopic; index++) {
      const turns = composeTurns(topic, index, random);
      rows.set(turns.join("\n"), turns);
    }
  }
  return random.shuffle([...rows.values()]).map((turns, index) => {
    const colon = index % asciiColonEvery === asciiColonEvery - 1 ? ":" : "：";
    return { data: turns.map((turn, place) => `${place % 2 === 0 ? "问" : "答"}${colon}${turn}`) };
  });
}

function composeTurns({ questions, advice: [first, ...others], doctor, more }, index, random) {
  const question = random.pick(greetings) + questions[index % questions.length];
  const answer = [
    random.pick(openings),
    bridge,
    first,
    ...random.some(others, 1 + random.below(2)),
    random.pick(closings),
    random.pick(wishes),
  ].join("");
  const turns = [question, expand(answer, random, { doctor })];
  return index % followUpEvery === followUpEvery - 1 ? [...turns, ...more] : turns;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const row of composeRows()) process.stdout.write(`${JSON.stringify(row)}\n`);
}
