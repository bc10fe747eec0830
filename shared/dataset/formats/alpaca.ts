import type { Message } from "../conversation.ts";
import {
  field,
  kindOf,
  optionalText,
  type Row,
  type RowFormat,
  RowProblem,
  systemMessage,
  textField,
} from "./rowFormat.ts";

/**
 * Alpaca: `{"instruction": …, "input": …, "output": …}`; `input`, `system` and `history`, a list of earlier
 * `[instruction, output]`, optional. A non-empty input follows the instruction after an empty line.
 */
export const alpaca: RowFormat = {
  name: "alpaca",
  shape: '{"instruction": "…", "input": "…", "output": "…"}',
  matches: (row) => Object.hasOwn(row, "instruction") && Object.hasOwn(row, "output"),
  read: (row) => {
    const instruction = textField(row, "instruction", "instruction");
    const input = optionalText(row, "input");
    return {
      messages: [
        ...systemMessage(row),
        ...readHistory(row),
        { role: "user", content: input === "" ? instruction : `${instruction}\n\n${input}` },
        { role: "assistant", content: textField(row, "output", "output") },
      ],
    };
  },
};

function readHistory(row: Row): Message[] {
  const history = field(row, "history") ?? [];
  if (!Array.isArray(history)) throw new RowProblem(`has ${kindOf(history)} instead of an array in history`);
  return history.flatMap((pair: unknown, index): Message[] => {
    const texts = Array.isArray(pair) ? (pair as readonly unknown[]) : [];
    const [question, answer] = texts;
    if (texts.length !== 2 || typeof question !== "string" || typeof answer !== "string") {
      throw new RowProblem(`has something other than two texts in history[${index}]`);
    }
    return [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ];
  });
}
