/** No vowels, so that no words come up, and nothing that looks like something else. */
const alphabet = "23456789bcdfghjkmnpqrstvwxz";
const suffixLength = 4;

/** Makes a run id such as 20261120-2154-k3f9: local time and four random characters. `random` gives values in [0, 1). */
export function createRunId(now: Date, random: () => number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const suffix = Array.from({ length: suffixLength }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
  return `${date}-${two(now.getHours())}${two(now.getMinutes())}-${suffix}`;
}

/** True for names that can be a run's: letters, digits, ".", "_" and "-", so never a path. */
export function isRunId(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name);
}
