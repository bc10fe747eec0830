import { readMessages } from "./readTurns.ts";
import { field, kindOf, type Row, type RowFormat, RowProblem } from "./rowFormat.ts";

/**
 * OpenAI chat: `{"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}`, with `tools` and calls
 * of them where there are any.
 */
export const openai: RowFormat = {
  name: "openai",
  shape: '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
  matches: (row) => Object.hasOwn(row, "messages"),
  read: (row) => {
    const tools = readTools(row);
    return { messages: readMessages(row, "messages"), ...(tools.length > 0 && { tools }) };
  },
};

/** Tools as a list, or as its JSON, which tables have because their columns have one type. */
function readTools(row: Row): readonly unknown[] {
  const given = field(row, "tools") ?? [];
  const tools = typeof given === "string" && given !== "" ? parse(given) : given || [];
  if (!Array.isArray(tools)) throw new RowProblem(`has ${kindOf(tools)} instead of an array in tools`);
  return tools;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RowProblem("has text that is not JSON in tools");
  }
}
