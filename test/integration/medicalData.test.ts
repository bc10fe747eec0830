import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, finalDigests, sha256 } from "../support/coord.ts";

const data = resolve(process.env["COORD_SHARED_DATA"] ?? join(packageRoot(), "..", "shared", "data"));
const files = { huatuo: join(data, "medical_huatuo_1k.jsonl"), sharegpt: join(data, "medical_sharegpt_1k.jsonl") };
const missing = !existsSync(files.huatuo) || !existsSync(files.sharegpt);

describe.skipIf(missing)(`one epoch over the medical dialogues in ${data} on 2 nodes × 2 workers`, () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
  });
  afterAll(() => home.remove());

  const train = async (name: keyof typeof files) => {
    const output = home.path(name);
    const result = await home.coord(
      [
        ["launch", "--nodes", "2", "--gpus", "2", "--output", output],
        ["--model", join(packageRoot(), "deploy", "demo", "model"), "--data", files[name]],
        ["--num-train-epochs", "1", "--eval-split", "0.1", "--max-length", "256"],
        ["--per-device-train-batch-size", "4", "--learning-rate", "0.01", "--target-modules", "all-linear"],
        ["--threads-per-worker", "1"],
      ].flat(),
    );
    expect(result, `${result.stderr}\n${result.stdout}`).toMatchObject({ exitCode: 0 });
    const [run] = (await home.json<{ run: string; output: string }[]>(["list"])).filter((r) => r.output === output);
    const metrics = await home.metrics(run!.run);
    const steps = metrics.filter((line) => "learningRate" in line);
    const heldOut = metrics.filter((line) => !("learningRate" in line)).map((line) => line["loss"]!);
    return { output, losses: steps.map((line) => line["loss"]!), heldOut };
  };

  it("lowers the held-out loss by 10 % at least, the same way from either form of the rows", async () => {
    const huatuo = await train("huatuo");
    expect(huatuo.heldOut).toHaveLength(2);
    const [start, end] = huatuo.heldOut;
    console.log(`held-out loss ${start!.toFixed(4)} → ${end!.toFixed(4)} over ${huatuo.losses.length} steps`);
    expect(end! / start!).toBeLessThanOrEqual(0.9);

    const sharegpt = await train("sharegpt");
    expect(sharegpt.losses.length).toBeGreaterThan(20);
    expect(sharegpt.losses).toEqual(huatuo.losses);
    expect(sharegpt.heldOut).toEqual(huatuo.heldOut);
    const steps = huatuo.losses.length;
    expect(await finalDigests(sharegpt.output, steps)).toEqual(await finalDigests(huatuo.output, steps));

    const cache = join(home.home, "cache", "tokens");
    const tokenFiles = (await readdir(cache)).filter((name) => name.endsWith(".tokens"));
    expect(tokenFiles).toHaveLength(2);
    const [one, other] = await Promise.all(tokenFiles.map((name) => sha256(join(cache, name))));
    expect(one).toBe(other);
    // Both forms really are different files.
    expect(await readFile(files.huatuo, "utf8")).not.toBe(await readFile(files.sharegpt, "utf8"));
  });
});
