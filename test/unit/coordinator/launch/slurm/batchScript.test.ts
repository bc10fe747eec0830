import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { batchScript } from "../../../../../coordinator/launch/slurm/batchScript.ts";
import { describeJob, parseJob, phaseOf } from "../../../../../coordinator/launch/slurm/parseJob.ts";
import { runConfigSchema } from "../../../../../shared/config/schema.ts";

const place = {
  runId: "nightly",
  home: "/shared/it's mine",
  logs: "/shared/logs",
  job: "/shared/slurm-job",
  program: ["/usr/bin/node", "/opt/coord/main.js"],
  version: "1.0.0",
};

function scriptFor(settings: Record<string, unknown>): string {
  return batchScript(runConfigSchema.parse({ nodes: 2, gpus: 8, threadsPerWorker: 4, ...settings }), place);
}

const directives = (script: string) => script.split("\n").filter((line) => line.startsWith("#SBATCH"));

describe("batchScript", () => {
  it("asks for what the run takes, and for nothing that was not asked for", () => {
    expect(directives(scriptFor({ partition: "gpu", time: "2:00:00" }))).toEqual([
      "#SBATCH --job-name=coord-nightly",
      "#SBATCH --nodes=2",
      "#SBATCH --ntasks-per-node=1",
      "#SBATCH --cpus-per-task=32",
      "#SBATCH --gres=gpu:8",
      "#SBATCH --partition=gpu",
      "#SBATCH --time=2:00:00",
      "#SBATCH --output=/shared/logs/slurm-%j.log",
      "#SBATCH --open-mode=append",
      "#SBATCH --signal=B:USR1@120",
      "#SBATCH --requeue",
    ]);
  });

  it("keeps the job when a node of an elastic run fails, and only then", () => {
    expect(directives(scriptFor({ minNodes: 1 }))).toContain("#SBATCH --no-kill");
    expect(directives(scriptFor({ elastic: true }))).toContain("#SBATCH --no-kill");
    expect(directives(scriptFor({ minNodes: 2 }))).not.toContain("#SBATCH --no-kill");
  });

  it("asks for no GPU where none is used, and has the user's arguments last", () => {
    const lines = directives(scriptFor({ device: "cpu", exclusive: true, sbatchArg: ["--no-kill", "--mem=64G"] }));
    expect(lines.join("\n")).not.toContain("gres");
    expect(lines.slice(-3)).toEqual(["#SBATCH --exclusive", "#SBATCH --no-kill", "#SBATCH --mem=64G"]);
  });

  it("is a script that bash can read, whatever is in a path", () => {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: scriptFor({}), encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
    expect(scriptFor({})).toContain("export COORD_HOME='/shared/it'\\''s mine'");
  });

  it.each(["a\nreboot", "a b", ""])("takes no word that would be another line or argument: %j", (word) => {
    expect(() => scriptFor({ partition: word })).toThrow();
    expect(() => scriptFor({ sbatchArg: [word] })).toThrow();
  });
});

describe("parseJob", () => {
  it("tells waiting from going from over", () => {
    const phases = ["PENDING||Resources|N/A", "RUNNING|n[1-2]|None|x", "COMPLETED|n1|None|x", "NODE_FAIL|||"];
    expect(phases.map((line) => phaseOf(parseJob("7", line)))).toEqual(["waiting", "going", "over", "over"]);
    expect(phaseOf(parseJob("7", ""))).toBe("over");
  });

  it("says why a job waits and where it runs", () => {
    expect(describeJob(parseJob("7", "PENDING||Resources|N/A")!)).toBe("7 PENDING (Resources)");
    expect(describeJob(parseJob("7", "RUNNING|n[1-2]|None|x")!)).toBe("7 RUNNING on n[1-2]");
  });
});
