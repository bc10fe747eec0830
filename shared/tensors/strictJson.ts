/**
 * Parses JSON and refuses an object that has the same key twice; `JSON.parse` alone silently keeps the last. Throws
 * SyntaxError. Keys such as `__proto__` become own properties: read the result with `Object.entries`.
 */
export function parseStrictJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  refuseDuplicateKeys(text);
  return value;
}

/** `text` is known to be valid JSON, so only strings and brackets matter. Iterative: hostile nesting is deep. */
function refuseDuplicateKeys(text: string): void {
  // One entry per open bracket: the keys seen in an object, undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(undefined);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const end = endOfString(text, at);
      if (isKey(text, end)) {
        const key = JSON.parse(text.slice(at, end)) as string;
        const keys = open.at(-1);
        if (keys?.has(key)) throw new SyntaxError(`the key ${JSON.stringify(key.slice(0, 100))} occurs twice`);
        keys?.add(key);
      }
      at = end - 1;
    }
  }
}

/** Index after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isKey(text: string, after: number): boolean {
  let at = after;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\r" || text[at] === "\t") at++;
  return text[at] === ":";
}
