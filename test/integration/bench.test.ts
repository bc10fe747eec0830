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
  const ways = ["grpc float32", "grpc bfloat16", "shared float32"];
  const sizes = ["64 KiB", "1 MiB", "16 MiB", "160 MiB"];
  const wanted = [2, 4].flatMap((workers) =>
    ways.flatMap((way) => sizes.map((size) => `${size} × ${workers}, ${way}`)),
  );
  const measured = results.allReduce?.cases.map(
    ({ dataPlane, format, size, workers }) => `${size} × ${workers}, ${dataPlane} ${format}`,
  );
  expect(measured).toEqual(wanted);
  for (const { coordinatorMs } of results.allReduce!.cases) expect(coordinatorMs.min).toBeGreaterThan(0);
  expect(results.allReduce?.torch).toHaveProperty("skipped");
  expect(stderr).toContain("SKIPPED gloo");
});
