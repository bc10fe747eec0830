import type { Message, Role } from "../conversation.ts";
import { field, isRow, kindOf, type Row, RowProblem, textField } from "./rowFormat.ts";

/** How a list of turns names speaker and text. */
export interface TurnShape {
  readonly roleKey: string;
  readonly textKey: string;
  readonly roles: Readonly<Record<string, Role>>;
}

const messageShape: TurnShape = {
  roleKey: "role",
  textKey: "content",
  roles: { user: "user", assistant: "assistant", system: "system", developer: "system" },
};

/** Reads a list of OpenAI messages, `{"role": …, "content": …}`. */
export function readMessages(row: Row, list: string): Message[] {
  return readTurns(row, list, () => messageShape);
}

/** Reads a list of `{ROLE_KEY, TEXT_KEY}` objects, the shape that ShareGPT and OpenAI have in common. */
export function readTurns(row: Row, list: string, shapeOf: (turn: Row) => TurnShape): Message[] {
  const turns = field(row, list);
  if (!Array.isArray(turns)) throw new RowProblem(`has ${kindOf(turns)} instead of an array in ${list}`);
  return turns.map((turn: unknown, index) => {
    const where = `${list}[${index}]`;
    if (!isRow(turn)) throw new RowProblem(`has ${kindOf(turn)} instead of an object in ${where}`);
    const { roleKey, textKey, roles } = shapeOf(turn);
    const speaker = textField(turn, roleKey, `${where}.${roleKey}`);
    if (!Object.hasOwn(roles, speaker)) {
      throw new RowProblem(
        `has the unknown speaker ${JSON.stringify(speaker.slice(0, 40))} in ${where}.${roleKey} (known: ${Object.keys(roles).join(", ")})`,
      );
    }
    return { role: roles[speaker]!, content: textField(turn, textKey, `${where}.${textKey}`) };
  });
}
