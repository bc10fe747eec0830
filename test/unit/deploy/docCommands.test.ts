import { expect, it } from "vitest";
import { docCommands } from "../../support/docCommands.ts";

it("finds the commands of a page's sh blocks, continued ones in one line", () => {
  const page = "Text\n\n```sh\n# Why\na b\nc \\\n  d\n```\n\n    not this\n\n```yaml\nx: y\n```\n\n```sh\ne\n```\n";
  expect(docCommands(page)).toEqual(["a b", "c d", "e"]);
});
