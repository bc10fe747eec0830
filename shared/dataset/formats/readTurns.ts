import type { Message, Role } from "../conversation.ts";
import { field, isRow, kindOf, type Row, RowProblem, textField } from "./rowFormat.ts";

/** How a list of turns names speaker and text. */
export interface TurnShape {
  readonly roleKey: string;
  readonly textKey: string;
  readonly roles: Readonly<Record<string, Role>>;
  /** Keys that go to the template as they are; an assistant that has `tool_calls` needs no text. */
  readonly extraKeys?: readonly string[];
}

const messageShape: TurnShape = {
  roleKey: "role",
  textKey: "content",
  roles: { user: "user", assistant: "assistant", system: "system", developer: "system", tool: "tool" },
  extraKeys: ["name", "tool_calls", "tool_call_id", "reasoning_content"],
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
    const { roleKey, textKey, roles, extraKeys = [] } = shapeOf(turn);
    const speaker = textField(turn, roleKey, `${where}.${roleKey}`);
    if (!Object.hasOwn(roles, speaker)) {
      throw new RowProblem(
        `has the unknown speaker ${JSON.stringify(speaker.slice(0, 40))} in ${where}.${roleKey} (known: ${Object.keys(roles).join(", ")})`,
      );
    }
    const role = roles[speaker]!;
    const fields = Object.fromEntries(extraKeys.filter((key) => given(turn, key)).map((key) => [key, turn[key]]));
    const calls = fields["tool_calls"];
    if (calls !== undefined && !(Array.isArray(calls) && calls.every(isRow))) {
      throw new RowProblem(`has ${kindOf(calls)} instead of an array of objects in ${where}.tool_calls`);
    }
    if (calls !== undefined && (field(turn, textKey) ?? "") === "") {
      // Templates tell no text, null and an empty text apart.
      const silent = Object.hasOwn(turn, textKey) ? { [textKey]: turn[textKey] } : {};
      return { role, content: "", fields: { ...fields, ...silent } };
    }
    const content = textField(turn, textKey, `${where}.${textKey}`);
    return Object.keys(fields).length > 0 ? { role, content, fields } : { role, content };
  });
}

/** Tables have null for what a row lacks. */
function given(turn: Row, key: string): boolean {
  return (field(turn, key) ?? null) !== null;
}
