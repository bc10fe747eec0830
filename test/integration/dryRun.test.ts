import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CoordHome, eventually } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

describe("coord launch --dry-run", () => {
  it("says where each setting comes from, what the run takes, and writes nothing", async () => {
    await writeFile(home.path("coord.yaml"), "lora_r: 16\n");
    const { exitCode, stdout } = await home.coord(["launch", "--dry-run", "--nodes", "2", "--gpus", "2"], {
      COORD_SEED: "7",
    });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^nodes +2 +flag$/m);
    expect(stdout).toMatch(/^lora-r +16 +file$/m);
    expect(stdout).toMatch(/^seed +7 +environment$/m);
    expect(stdout).toMatch(/^learning-rate +0.005 +the demo$/m);
    expect(stdout).toMatch(/^slots +4 +worked out$/m);
    expect(stdout).toMatch(/^weight-decay +0 +default$/m);
    expect(stdout).toMatch(/^ {2}steps +170 /m);
    expect(stdout.match(/MASTER_PORT=PORT/g)).toHaveLength(4);
    expect(await readdir(home.root)).toEqual(["coord.yaml"]);
  });

  it("shows the very commands that the launch then executes", async () => {
    const flags = [...(await smallRun(home, 400)), "--gpus", "1", "--output", home.path("out")];
    const { stdout } = await home.coord(["launch", "--dry-run", ...flags]);
    const runId = await home.launch(flags);
    try {
      const processes = join(home.home, "runs", runId, "processes");
      for (const role of ["coordinator", "agent", "worker"]) {
        const pid = await eventually(`a record of the ${role}`, async () =>
          (await readdir(processes)).map((name) => new RegExp(`^${role}-(\\d+)\\.json$`).exec(name)?.[1]).find(Boolean),
        );
        const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").filter((word) => word !== "");
        const port = words[words.indexOf("--join") + 1]?.split(":")[1] ?? "";
        const command = words.join(" ").replace(`:${port}`, port === "" ? "" : ":PORT");
        const line = stdout.split("\n").find((text) => text.includes(` ${command}`));
        expect(line, command).toBeDefined();
        const environment = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0");
        for (const [, name, value] of line!.matchAll(/(?:^| )([A-Z_]+)=(\S*)/g)) {
          const known = environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name!.length + 1);
          if (name !== "MASTER_PORT") expect(known, name).toBe(value!.replace("RUN", runId));
        }
      }
    } finally {
      await home.coord(["stop", "--now", runId]);
    }
  });
});

describe("coord init", () => {
  it("writes a file that launch reads, and never overwrites one", async () => {
    const { exitCode, stdout } = await home.coord(["init", "--lora-r", "4"]);
    expect([exitCode, stdout]).toEqual([0, "Wrote coord.yaml; coord launch reads it."]);
    expect((await home.coord(["launch", "--dry-run"])).stdout).toMatch(/^lora-r +4 +file$/m);
    const text = await readFile(home.path("coord.yaml"), "utf8");
    expect(await home.coord(["init"])).toMatchObject({
      exitCode: 2,
      stderr: "coord: coord.yaml exists and is left as it is; name another file or move it away.",
    });
    expect(await readFile(home.path("coord.yaml"), "utf8")).toBe(text);
    expect(existsSync(home.home)).toBe(false);
  });
});
