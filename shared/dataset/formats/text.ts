import { type RowFormat, textField } from "./rowFormat.ts";

/** Plain text: `{"text": …}`, learned as it stands, without a chat template. */
export const text: RowFormat = {
  name: "text",
  shape: '{"text": "…"}',
  matches: (row) => Object.hasOwn(row, "text"),
  read: (row) => ({ text: textField(row, "text", "text") }),
};
