// Takes one guard away at a time, in a copy of the tree, and shows that the test named for it goes red: a test that stays
// green does not test that guard. `npm run test:mutations`.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const mutations = [
  {
    guard: "a request of another generation is refused",
    file: "coordinator/membership/trainingSession.ts",
    from: "if (this.#generation?.number !== number) {",
    to: "if (!this.#generation) {",
    test: "test/unit/coordinator/membership/staleMessages.test.ts",
  },
  {
    guard: "a request of an earlier process of the same place is refused",
    file: "coordinator/membership/memberRegistry.ts",
    from: "if (member?.incarnation !== caller.incarnation) {",
    to: "if (!member) {",
    test: "test/unit/coordinator/membership/staleMessages.test.ts",
  },
  {
    guard: "a step is committed only when all members have voted",
    file: "coordinator/membership/tallyVotes.ts",
    from: 'if (votes.size < members.length) return { kind: "pending" };',
    to: "members = members.filter(({ workerId }) => votes.has(workerId));",
    test: "test/unit/coordinator/membership/trainingSession.test.ts",
  },
  {
    guard: "votes must be for the same parameters",
    file: "coordinator/membership/tallyVotes.ts",
    from: 'if (byDigest.size === 1) return { kind: "unanimous" };',
    to: 'if (byDigest.size >= 1) return { kind: "unanimous" };',
    test: "test/unit/coordinator/membership/trainingSession.test.ts",
  },
  {
    guard: "slots are added in slot order, not in the order of arrival",
    file: "shared/tensors/reduce.ts",
    from: "group.early.set(slot, values);\n    this.#drain(group);",
    to: "group.sum = this.#merge(group.sum, values);\n    group.next++;",
    test: "test/unit/shared/tensors/reduce.test.ts",
  },
  {
    guard: "a checkpoint's files are synced before they count",
    file: "shared/checkpoint/writeDurably.ts",
    from: "      await writer.sync();\n",
    to: "",
    test: "test/chaos/powerLoss.test.ts",
  },
];

const only = process.argv[2];
const copy = mkdtempSync(join(tmpdir(), "coord-mutations-"));
let green = 0;
try {
  for (const name of [
    "coordinator",
    "worker",
    "shared",
    "proto",
    "test",
    "package.json",
    "tsconfig.json",
    "vitest.config.ts",
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  for (const { file, from, guard, test, to } of mutations.filter((mutation) => mutation.guard.includes(only ?? ""))) {
    const path = join(copy, file);
    const source = readFileSync(path, "utf8");
    if (source.split(from).length !== 2) throw new Error(`${file} does not hold the guard exactly once: ${from}`);
    const before = run(test);
    writeFileSync(
      path,
      source.replace(from, () => to),
    );
    const after = run(test);
    writeFileSync(path, source);
    const isKilled = before === 0 && after !== 0;
    if (!isKilled) green++;
    const verdict = isKilled ? "red" : before === 0 ? "STAYS GREEN" : "RED WITHOUT THE MUTATION";
    process.stdout.write(`${verdict.padEnd(12)} ${guard}: ${test}\n`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.exitCode = green === 0 ? 0 : 1;

function run(test) {
  const args = [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--project",
    test.startsWith("test/unit/") ? "unit" : "integration",
    test,
  ];
  return spawnSync(process.execPath, args, { cwd: copy, stdio: "ignore" }).status ?? 1;
}
