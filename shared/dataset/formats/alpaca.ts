import type { Message } from "../conversation.ts";
import { field, type RowFormat, textField } from "./rowFormat.ts";

/**
 * Alpaca: `{"instruction": …, "input": …, "output": …}`, `input` and `system` optional. A non-empty input follows the
 * instruction after an empty line.
 */
export const alpaca: RowFormat = {
  name: "alpaca",
  shape: '{"instruction": "…", "input": "…", "output": "…"}',
  matches: (row) => Object.hasOwn(row, "instruction") && Object.hasOwn(row, "output"),
  read: (row) => {
    const optional = (key: string) => ((field(row, key) ?? "") === "" ? "" : textField(row, key, key));
    const instruction = textField(row, "instruction", "instruction");
    const input = optional("input");
    const system = optional("system");
    const messages: Message[] = [
      { role: "user", content: input === "" ? instruction : `${instruction}\n\n${input}` },
      { role: "assistant", content: textField(row, "output", "output") },
    ];
    return { messages: system === "" ? messages : [{ role: "system", content: system }, ...messages] };
  },
};
