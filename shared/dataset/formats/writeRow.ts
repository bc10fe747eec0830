import { asWritten, type Conversation, type Message } from "../conversation.ts";
import { type Row, RowProblem } from "./rowFormat.ts";

/**
 * Writes a conversation as a row of the named format, so that reading the row gives the conversation back. Throws
 * RowProblem where the format cannot hold it.
 */
export function writeRow(conversation: Conversation, format: string): Row {
  const write = writers.get(format);
  if (write === undefined) throw new RowProblem(`cannot be written as ${format}`);
  if ("text" in conversation) {
    if (format === "text") return { text: conversation.text };
    throw new RowProblem(`is plain text, which ${format} cannot hold`);
  }
  const { messages, tools } = conversation;
  if (format === "openai") return { messages: messages.map(asWritten), ...(tools && { tools }) };
  if (tools || messages.some(({ role, fields }) => role === "tool" || fields)) {
    throw new RowProblem(`has tools, which ${format} cannot hold`);
  }
  return write(messages);
}

const sharegptNames = { tool: "tool", system: "system", user: "human", assistant: "gpt" } as const;
const huatuoPrefixes: Partial<Record<Message["role"], string>> = { user: "问：", assistant: "答：" };

const writers: ReadonlyMap<string, (messages: readonly Message[]) => Row> = new Map([
  ["huatuo", (messages) => ({ data: messages.map(huatuoTurn) })],
  [
    "sharegpt",
    (messages) => ({
      conversations: messages.map(({ role, content }) => ({ from: sharegptNames[role], value: content })),
    }),
  ],
  ["openai", (messages) => ({ messages: messages.map(asWritten) })],
  ["alpaca", alpacaRow],
  ["prompt-completion", promptCompletionRow],
  ["swe", sweRow],
  [
    "text",
    () => {
      throw new RowProblem("is a dialogue, which text cannot hold");
    },
  ],
]);

function huatuoTurn({ role, content }: Message): string {
  if (role === "system") throw new RowProblem("has a system message, which huatuo cannot hold");
  return huatuoPrefixes[role] + content;
}

function alpacaRow(messages: readonly Message[]): Row {
  const system = messages[0]?.role === "system" ? messages[0].content : "";
  const turns = messages[0]?.role === "system" ? messages.slice(1) : messages;
  if (messages[0]?.role === "system" && system === "")
    throw new RowProblem("has an empty system message, which alpaca cannot hold");
  const pairs = Array.from({ length: Math.ceil(turns.length / 2) }, (_, index) =>
    turns.slice(2 * index, 2 * index + 2),
  );
  const alternate = pairs.every(([first, second]) => first?.role === "user" && second?.role === "assistant");
  if (pairs.length === 0 || !alternate) {
    throw new RowProblem("does not go question, answer, question, answer, which alpaca needs");
  }
  const history = pairs.slice(0, -1).map((pair) => pair.map(({ content }) => content));
  const [question, answer] = pairs.at(-1)!;
  return {
    ...(system !== "" && { system }),
    instruction: question!.content,
    input: "",
    output: answer!.content,
    ...(history.length > 0 && { history }),
  };
}

function promptCompletionRow(messages: readonly Message[]): Row {
  const prompt = messages.slice(0, -1);
  const completion = messages.at(-1);
  if (completion?.role !== "assistant" || prompt.length === 0) {
    throw new RowProblem("does not end with an answer to something, which prompt-completion needs");
  }
  if (prompt.length === 1 && prompt[0]!.role === "user") {
    return { prompt: prompt[0]!.content, completion: completion.content };
  }
  return { prompt, completion: [completion] };
}

function sweRow(messages: readonly Message[]): Row {
  const [question, answer, ...more] = messages;
  if (question?.role !== "user" || answer?.role !== "assistant" || more.length > 0) {
    throw new RowProblem("is not one question with one answer, which swe needs");
  }
  return { problem_statement: question.content, patch: answer.content };
}
