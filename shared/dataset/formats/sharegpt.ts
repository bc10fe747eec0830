import { readTurns, type TurnShape } from "./readTurns.ts";
import { type RowFormat, systemMessage } from "./rowFormat.ts";

const roles = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  chatgpt: "assistant",
  bot: "assistant",
  model: "assistant",
  system: "system",
} as const;
const named: TurnShape = { roleKey: "from", textKey: "value", roles };
/** Some published files write the turns of `conversations` as OpenAI does. */
const likeOpenai: TurnShape = { roleKey: "role", textKey: "content", roles };

/** ShareGPT: `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}`, `system` optional. */
export const sharegpt: RowFormat = {
  name: "sharegpt",
  shape: '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
  matches: (row) => Object.hasOwn(row, "conversations"),
  read: (row) => {
    const turns = readTurns(row, "conversations", (turn) =>
      !Object.hasOwn(turn, "from") && Object.hasOwn(turn, "role") ? likeOpenai : named,
    );
    return { messages: [...systemMessage(row), ...turns] };
  },
};
