/** What precedes the sections of a Markdown page, and its sections ("## Title") in order. */
function split(page: string): { readonly head: string; readonly sections: ReadonlyMap<string, string> } {
  const [head = "", ...parts] = page.split(/^(?=## )/m);
  return { head, sections: new Map(parts.map((part) => [part.slice(0, part.indexOf("\n")), part])) };
}

/**
 * The old page with the sections that the new one has, each in its place, new ones in front of the last. Its head is replaced where
 * `whole` says that the new page stands for all of it; sections that were not measured again stay as they were.
 */
export function mergePages(old: string, fresh: string, whole: boolean): string {
  const [before, after] = [split(old), split(fresh)];
  const last = [...before.sections.keys()].at(-1);
  const kept = [...before.sections].filter(([title]) => title !== last);
  const added = [...after.sections].filter(([title]) => !before.sections.has(title));
  const ordered = [...kept, ...added, ...[...before.sections].filter(([title]) => title === last)];
  const parts = ordered.map(([title, part]) => (after.sections.get(title) ?? part).trimEnd());
  return `${[(whole ? after.head : before.head).trimEnd(), ...parts].join("\n\n")}\n`;
}
