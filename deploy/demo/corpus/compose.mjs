#!/usr/bin/env node
// Composes the text that the demo's base model is trained on. Printed as JSON Lines when run:
//   node deploy/demo/corpus/compose.mjs > corpus.jsonl
import { pathToFileURL } from "node:url";
import { chineseDialogues, chineseOpposites, chineseScenes, chineseWords } from "./chineseScenes.mjs";
import { chineseTopics } from "./chineseTopics.mjs";
import { englishDialogues, englishOpposites, englishScenes, englishToChinese, englishWords } from "./englishScenes.mjs";
import { englishTopics } from "./englishTopics.mjs";
import { createRandom, expand } from "./random.mjs";

const english = {
  topics: englishTopics,
  scenes: englishScenes,
  dialogues: englishDialogues,
  words: englishWords,
  opposites: englishOpposites,
  separator: " ",
};
const chinese = {
  topics: chineseTopics,
  scenes: chineseScenes,
  dialogues: chineseDialogues,
  words: chineseWords,
  opposites: chineseOpposites,
  separator: "",
};

/** Uses of each topic, scene and dialogue template in each language. */
const uses = { topic: 4, scene: 10, dialogue: 14 };

/**
 * The whole corpus, shuffled: documents in the shape of shared/dataset/conversation.ts, `{ text }` to be learned as it
 * stands or `{ messages }` to be rendered with the chat template. About 140 kB of text; the same seed gives the same documents.
 * @param {number} seed
 * @returns {({ text: string } | { messages: { role: "user" | "assistant", content: string }[] })[]}
 */
export function composeCorpus(seed = 1) {
  const random = createRandom(seed);
  const documents = [english, chinese].flatMap((language) => [
    ...repeat(uses.topic, () => language.topics.map((topic) => paragraph(topic, language, random))),
    ...repeat(uses.scene, () =>
      language.scenes.map((scene) => ({ text: expand(scene, random, values(language, random)) })),
    ),
    ...repeat(uses.dialogue, () => language.dialogues.map((turns) => dialogue(turns, language, random))),
  ]);
  const distinct = new Map(documents.map((document) => [JSON.stringify(document), document]));
  return random.shuffle([...distinct.values()]);
}

function repeat(times, compose) {
  return Array.from({ length: times }, compose).flat();
}

function paragraph(sentences, { separator }, random) {
  return { text: random.some(sentences, 3 + random.below(sentences.length - 2)).join(separator) };
}

function dialogue(turns, language, random) {
  const named = values(language, random);
  const messages = turns.map((turn, index) => ({
    role: index % 2 === 0 ? "user" : "assistant",
    content: expand(turn, random, named),
  }));
  return { messages };
}

/** One choice for every slot that a template may name. */
function values({ words, opposites }, random) {
  const chosen = Object.fromEntries(Object.entries(words).map(([name, list]) => [name, random.pick(list)]));
  const other = (name) => random.pick(words[name].filter((word) => word !== chosen[name]));
  const [a, b] = [2 + random.below(48), 2 + random.below(48)];
  const big = a + 1 + random.below(49);
  const [low, platform, step] = [2 + random.below(7), 2 + random.below(7), 10 * (1 + random.below(90))];
  const lossA = 30 + random.below(20);
  const [word, opposite] = random.pick([...opposites, ...opposites.map((pair) => pair.toReversed())]);
  const [inEnglish, inChinese] = random.pick(englishToChinese);
  return {
    ...chosen,
    name2: other("name"),
    food2: other("food"),
    weather2: other("weather"),
    Place: capitalized(chosen.place),
    Food: capitalized(chosen.food),
    nextDay: words.day[(words.day.indexOf(chosen.day) + 1) % words.day.length],
    ...{ a, b, big, sum: a + b, difference: big - a },
    ...{ low, high: low + 2 + random.below(9), platform, product: low * platform },
    ...{ step, nextStep: step + 1, hour: 6 + random.below(6) },
    ...{ lossA: (lossA / 10).toFixed(1), lossB: ((lossA - 5 - random.below(20)) / 10).toFixed(1) },
    ...{ word, opposite, english: inEnglish, English: capitalized(inEnglish), chinese: inChinese },
  };
}

function capitalized(text) {
  return text[0].toUpperCase() + text.slice(1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const document of composeCorpus()) process.stdout.write(`${JSON.stringify(document)}\n`);
}
