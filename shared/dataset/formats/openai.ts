import { readMessages } from "./readTurns.ts";
import type { RowFormat } from "./rowFormat.ts";

/** OpenAI chat: `{"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}`. */
export const openai: RowFormat = {
  name: "openai",
  shape: '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
  matches: (row) => Object.hasOwn(row, "messages"),
  read: (row) => ({ messages: readMessages(row, "messages") }),
};
