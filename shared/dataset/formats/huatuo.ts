import type { Message } from "../conversation.ts";
import { field, kindOf, type RowFormat, RowProblem } from "./rowFormat.ts";

const speakers = [
  { prefix: /^问[：:]/, role: "user" },
  { prefix: /^答[：:]/, role: "assistant" },
] as const;

/**
 * HuatuoGPT: `{"data": ["问：…", "答：…", …]}`. Both the full-width and the ASCII colon occur in the published files.
 * What follows the colon is kept as it is, spaces included.
 */
export const huatuo: RowFormat = {
  name: "huatuo",
  shape: '{"data": ["问：…", "答：…"]}',
  matches: (row) => Object.hasOwn(row, "data"),
  read: (row) => {
    const turns = field(row, "data");
    if (!Array.isArray(turns)) throw new RowProblem(`has ${kindOf(turns)} instead of an array in data`);
    return { messages: turns.map(readTurn) };
  },
};

function readTurn(turn: unknown, index: number): Message {
  if (typeof turn !== "string") throw new RowProblem(`has ${kindOf(turn)} instead of text in data[${index}]`);
  for (const { prefix, role } of speakers) {
    if (prefix.test(turn)) return { role, content: turn.slice(2) };
  }
  throw new RowProblem(
    `has a data[${index}] that begins with neither 问： nor 答： but ${JSON.stringify(turn.slice(0, 20))}`,
  );
}
