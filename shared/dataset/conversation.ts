/** Who speaks. */
export type Role = "system" | "user" | "assistant";

export interface Message {
  readonly role: Role;
  readonly content: string;
}

/** What a row of any format becomes: a dialogue, which a chat template renders, or text that is learned as it stands. */
export type Conversation = { readonly messages: readonly Message[] } | { readonly text: string };
