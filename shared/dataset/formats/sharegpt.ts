import { readTurns } from "./readTurns.ts";
import type { RowFormat } from "./rowFormat.ts";

/** ShareGPT: `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}`. */
export const sharegpt: RowFormat = {
  name: "sharegpt",
  shape: '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
  matches: (row) => Object.hasOwn(row, "conversations"),
  read: (row) =>
    readTurns(row, "conversations", "from", "value", {
      human: "user",
      user: "user",
      gpt: "assistant",
      assistant: "assistant",
      system: "system",
    }),
};
