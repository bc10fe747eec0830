import { type RowFormat, textField } from "./rowFormat.ts";

/** SWE-bench's task instances: `{"problem_statement": …, "patch": …}`; the patch is the answer. Other columns are left out. */
export const swe: RowFormat = {
  name: "swe",
  shape: '{"problem_statement": "…", "patch": "…"}',
  matches: (row) => Object.hasOwn(row, "problem_statement") && Object.hasOwn(row, "patch"),
  read: (row) => ({
    messages: [
      { role: "user", content: textField(row, "problem_statement", "problem_statement") },
      { role: "assistant", content: textField(row, "patch", "patch") },
    ],
  }),
};
