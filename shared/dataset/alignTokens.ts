const space = 0x20;

/**
 * Where each token ends in the UTF-8 bytes of `text`, found by walking over both: the library gives no offsets. White
 * space that an added token strips belongs to no token, and the space that SentencePiece puts in front of a text has no
 * bytes. Undefined where the tokens do not spell the text, because a normalizer changed it or a token is unknown.
 */
export function alignTokens(text: Buffer, tokens: readonly (Buffer | undefined)[]): number[] | undefined {
  const ends: number[] = [];
  let at = 0;
  for (const token of tokens) {
    if (token === undefined) return undefined;
    const end = follow(text, at, token);
    if (end === undefined) return undefined;
    ends.push(end);
    at = end;
  }
  return skipBlanks(text, at) === text.length ? ends : undefined;
}

function follow(text: Buffer, at: number, token: Buffer): number | undefined {
  if (startsWith(text, at, token)) return at + token.length;
  if (token[0] === space && startsWith(text, at, token.subarray(1))) return at + token.length - 1;
  const later = skipBlanks(text, at);
  return later > at && startsWith(text, later, token) ? later + token.length : undefined;
}

function startsWith(text: Buffer, at: number, token: Buffer): boolean {
  return at + token.length <= text.length && text.compare(token, 0, token.length, at, at + token.length) === 0;
}

function skipBlanks(text: Buffer, from: number): number {
  let at = from;
  while (at < text.length && (text[at] === space || (text[at]! >= 0x09 && text[at]! <= 0x0d))) at++;
  return at;
}
