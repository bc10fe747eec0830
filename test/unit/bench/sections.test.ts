import { expect, it } from "vitest";
import { mergePages } from "../../bench/sections.ts";

const old = "# Page\n\nold machine\n\n## A\n\nold a\n\n## B\n\nold b\n\n## How to repeat\n\nold how\n";

it("a section that was measured again takes the place of the old one, and the others stay", () => {
  const fresh = "# Page\n\nnew machine\n\n## B\n\nnew b\n\n## How to repeat\n\nnew how\n";
  expect(mergePages(old, fresh, false)).toBe(
    "# Page\n\nold machine\n\n## A\n\nold a\n\n## B\n\nnew b\n\n## How to repeat\n\nnew how\n",
  );
});

it("a section that is new goes in front of the last one, and a whole page brings its own head", () => {
  const fresh = "# Page\n\nnew machine\n\n## C\n\nnew c\n\n## How to repeat\n\nnew how\n";
  expect(mergePages(old, fresh, true)).toBe(
    "# Page\n\nnew machine\n\n## A\n\nold a\n\n## B\n\nold b\n\n## C\n\nnew c\n\n## How to repeat\n\nnew how\n",
  );
});
