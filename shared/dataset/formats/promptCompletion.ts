import type { Message } from "../conversation.ts";
import { readMessages } from "./readTurns.ts";
import { field, type Row, type RowFormat, textField } from "./rowFormat.ts";

/**
 * Prompt and completion: `{"prompt": …, "completion": …}`, each text, or a list of messages as TRL writes it. A text
 * prompt is the user's turn and a text completion the assistant's; the chat template renders both.
 */
export const promptCompletion: RowFormat = {
  name: "prompt-completion",
  shape: '{"prompt": "…", "completion": "…"}',
  matches: (row) => Object.hasOwn(row, "prompt") && Object.hasOwn(row, "completion"),
  read: (row) => ({ messages: [...side(row, "prompt", "user"), ...side(row, "completion", "assistant")] }),
};

function side(row: Row, key: string, role: Message["role"]): readonly Message[] {
  if (Array.isArray(field(row, key))) return readMessages(row, key);
  return [{ role, content: textField(row, key, key) }];
}
