import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import type { Results } from "../bench/results.ts";

it("the all-reduce bench prints its figures as one JSON document and says when gloo was skipped", async () => {
  const cwd = packageRoot();
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  await execa(process.execPath, [tsc, "-p", join("test", "bench")], { cwd });
  const main = join("dist", "test", "bench", "main.js");
  const { stderr, stdout } = await execa(process.execPath, [main, "allreduce", "--repetitions", "1", "--json"], {
    cwd,
    env: { COORD_PYTHON: "no-such-python" },
  });
  const results = JSON.parse(stdout) as Results;
  expect(results.machine.processors).toBeGreaterThan(0);
  expect(results.allReduce?.cases.map(({ dataPlane, size, workers }) => `${size} × ${workers}, ${dataPlane}`)).toEqual([
    "64 KiB × 2, grpc",
    "1 MiB × 2, grpc",
    "16 MiB × 2, grpc",
    "64 KiB × 2, shared",
    "1 MiB × 2, shared",
    "16 MiB × 2, shared",
    "64 KiB × 4, grpc",
    "1 MiB × 4, grpc",
    "16 MiB × 4, grpc",
    "64 KiB × 4, shared",
    "1 MiB × 4, shared",
    "16 MiB × 4, shared",
  ]);
  for (const { coordinatorMs } of results.allReduce!.cases) expect(coordinatorMs.min).toBeGreaterThan(0);
  expect(results.allReduce?.torch).toHaveProperty("skipped");
  expect(stderr).toContain("SKIPPED gloo");
});
