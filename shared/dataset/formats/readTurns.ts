import type { Conversation, Role } from "../conversation.ts";
import { field, isRow, kindOf, type Row, RowProblem, textField } from "./rowFormat.ts";

/** Reads a list of `{ROLE_KEY, TEXT_KEY}` objects, the shape that ShareGPT and OpenAI have in common. */
export function readTurns(
  row: Row,
  list: string,
  roleKey: string,
  textKey: string,
  roles: Readonly<Record<string, Role>>,
): Conversation {
  const turns = field(row, list);
  if (!Array.isArray(turns)) throw new RowProblem(`has ${kindOf(turns)} instead of an array in ${list}`);
  const messages = turns.map((turn: unknown, index) => {
    const where = `${list}[${index}]`;
    if (!isRow(turn)) throw new RowProblem(`has ${kindOf(turn)} instead of an object in ${where}`);
    const speaker = textField(turn, roleKey, `${where}.${roleKey}`);
    if (!Object.hasOwn(roles, speaker)) {
      throw new RowProblem(
        `has the unknown speaker ${JSON.stringify(speaker.slice(0, 40))} in ${where}.${roleKey} (known: ${Object.keys(roles).join(", ")})`,
      );
    }
    return { role: roles[speaker]!, content: textField(turn, textKey, `${where}.${textKey}`) };
  });
  return { messages };
}
