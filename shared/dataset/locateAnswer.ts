import type { RenderChat } from "./chatTemplate.ts";
import { callsTools, type Message } from "./conversation.ts";

/** Where an answer stands in a rendered dialogue, in UTF-16 units. */
export interface AnswerPlace {
  readonly start: number;
  readonly end: number;
  /** True when `end` is that of the answer's words, so that the token that ends it may follow. */
  readonly wordsOnly: boolean;
}

/**
 * Finds the answer `messages[index]` in `text`, which is all messages rendered: it begins where the messages before it,
 * rendered with the generation prompt, end, and goes as far as the messages up to it, rendered, do.
 *
 * Two well-known kinds of template do not keep to that, and are followed as far as it is certain where the answer is:
 * one whose generation prompt says more than its answers begin with (DeepSeek-R1 opens `<think>`), and one that writes
 * the last answer in another way than earlier ones (Qwen3 puts empty `<think></think>` in front).
 * Undefined where the template rewrites earlier text otherwise.
 */
export function locateAnswer(
  messages: readonly Message[],
  index: number,
  text: string,
  render: RenderChat,
): AnswerPlace | undefined {
  const content = messages[index]!.content;
  const start = findStart(messages.slice(0, index), content, text, render);
  if (start === undefined) return undefined;
  const through = index === messages.length - 1 ? text : render(messages.slice(0, index + 1), false);
  if (text.startsWith(through) && through.length > start) return { start, end: through.length, wordsOnly: false };
  const words = [content, content.trim()].find((one) => text.startsWith(one, start));
  // What a message says beside its words cannot be told from what the template says.
  return !words || callsTools(messages[index]!) ? undefined : { start, end: start + words.length, wordsOnly: true };
}

function findStart(before: readonly Message[], content: string, text: string, render: RenderChat): number | undefined {
  const prompted = render(before, true);
  if (text.startsWith(prompted)) return prompted.length;
  const plain = render(before, false);
  if (!text.startsWith(plain) || !prompted.startsWith(plain) || content.trim() === "") return undefined;
  const start = text.indexOf(content.trim(), plain.length);
  const header = text.slice(plain.length, start);
  return start >= 0 && prompted.startsWith(header, plain.length) ? start : undefined;
}
