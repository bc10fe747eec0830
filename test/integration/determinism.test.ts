import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

describe("a run with a fixed seed and four slots", () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    flags = [...(await smallRun(home)), "--slots", "4", "--num-train-epochs", "3", "--save-steps", "5"];
  });
  afterAll(() => home.remove());

  it("ends with the same adapter and optimizer bytes on 1, 2 and 4 workers", async () => {
    const digests = [];
    for (const [nodes, gpus] of [
      [1, 1],
      [2, 1],
      [1, 2],
      [2, 2],
    ]) {
      const output = home.path(`output-${nodes}-${gpus}`);
      const result = await home.coord([
        "launch",
        ...flags,
        "--nodes",
        `${nodes}`,
        "--gpus",
        `${gpus}`,
        "--output",
        output,
      ]);
      expect(result, result.stderr).toMatchObject({ exitCode: 0 });
      digests.push(await finalDigests(output, 15));
    }
    expect(new Set(digests.map(({ adapter }) => adapter)).size).toBe(1);
    expect(new Set(digests.map(({ optimizer }) => optimizer)).size).toBe(1);
  });

  it.each(["--packing", "--group-by-length"])("ends with the same bytes on 1 and 2 workers with %s", async (flag) => {
    const digests = [];
    for (const gpus of [1, 2]) {
      const output = home.path(`output${flag}-${gpus}`);
      const wishes = [flag, "--max-length", "256", "--max-steps", "3", "--gpus", `${gpus}`, "--output", output];
      const result = await home.coord(["launch", ...flags, ...wishes]);
      expect(result, result.stderr).toMatchObject({ exitCode: 0 });
      digests.push(await finalDigests(output, 3));
    }
    expect(digests[0]).toEqual(digests[1]);
  });

  it("ends with other bytes with another seed, so the comparison means something", async () => {
    const output = home.path("output-seed");
    const result = await home.coord(["launch", ...flags, "--gpus", "2", "--seed", "7", "--output", output]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    const [one, other] = [await finalDigests(home.path("output-1-2"), 15), await finalDigests(output, 15)];
    expect(other.adapter).not.toBe(one.adapter);
    expect(other.optimizer).not.toBe(one.optimizer);
  });
});
