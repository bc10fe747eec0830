/** Who speaks. */
export type Role = "system" | "user" | "assistant" | "tool";

export interface Message {
  readonly role: Role;
  /** Empty where it is null. */
  readonly content: string;
  /** What else a template may look at, as the row has it: tool_calls, tool_call_id, name, a content of null. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** True for a message that calls tools, which a template writes beside or in place of its content. */
export function callsTools({ fields }: Message): boolean {
  const calls = fields?.["tool_calls"];
  return Array.isArray(calls) && calls.length > 0;
}

/** A message as the row has it: what a template sees. A call of tools has its text, where it has any, among `fields`. */
export function asWritten(message: Message): Readonly<Record<string, unknown>> {
  const { role, content, fields } = message;
  return content === "" && callsTools(message) ? { role, ...fields } : { role, content, ...fields };
}

/** What a row of any format becomes: a dialogue, which a chat template renders, or text that is learned as it stands. */
export type Conversation = Dialogue | { readonly text: string };

export interface Dialogue {
  readonly messages: readonly Message[];
  /** Descriptions of the tools that may be called, as the row has them. */
  readonly tools?: readonly unknown[];
}
