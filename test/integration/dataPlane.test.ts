import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

describe("a run with the same seed", () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    flags = [...(await smallRun(home)), "--gpus", "2", "--slots", "4", "--num-train-epochs", "1"];
  });
  afterAll(() => home.remove());

  it("ends with the same bytes over gRPC and through shared memory, of which nothing is left", async () => {
    const memory = temporaryDirectory();
    const digests = [];
    for (const plane of ["grpc", "shared", "auto"]) {
      const output = home.path(`output-${plane}`);
      const flagsOfPlane = [...flags, "--data-plane", plane, "--output", output];
      const result = await home.coord(["launch", ...flagsOfPlane], { COORD_SHM_DIR: memory });
      expect(result, result.stderr).toMatchObject({ exitCode: 0 });
      expect(await readdir(memory)).toEqual([]);
      digests.push(await finalDigests(output, 5));
    }
    expect(digests[1]).toEqual(digests[0]);
    expect(digests[2]).toEqual(digests[0]);
  });

  it("goes over gRPC where there is no shared memory, unless that was insisted on", async () => {
    const none = { COORD_SHM_DIR: home.path("absent") };
    const auto = await home.coord(["launch", ...flags, "--output", home.path("output-none")], none);
    expect(auto, auto.stderr).toMatchObject({ exitCode: 0 });
    const insisting = ["launch", ...flags, "--data-plane", "shared", "--output", home.path("output-insisting")];
    const refused = await home.coord(insisting, none);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr + refused.stdout).toContain("Set COORD_SHM_DIR");
  });
});
