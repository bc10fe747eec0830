import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRunClient } from "../../coordinator/runs/runClient.ts";
import { readCredentials } from "../../shared/rpc/credentials.ts";
import { runPaths } from "../../shared/runPaths.ts";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

const steps = 40;

/** Every file below a directory. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe("a run whose coordinator is open to the network", () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "2", "--gpus", "1", "--max-steps", `${steps}`, "--save-steps", "10"];
    flags = [...(await smallRun(home)), ...shape];
  });
  afterAll(() => home.remove());

  it("makes its own authority, survives its coordinator, and leaves token and key nowhere but in their files", async () => {
    const closed = await home.coord(["launch", ...flags, "--output", home.path("closed")]);
    expect(closed, closed.stderr).toMatchObject({ exitCode: 0 });

    const output = home.path("open");
    const fault = { COORD_FAILPOINT: "gradient-computed@5@1/0", COORD_FAILPOINT_MARKER: home.path("fired") };
    const launch = ["launch", "--detach", ...flags, "--listen", "0.0.0.0", "--max-steps", "100000", "--output", output];
    const launched = await home.coord(launch, fault);
    expect(launched, launched.stderr).toMatchObject({ exitCode: 0 });
    const run = launched.stdout.trim();
    const paths = runPaths(home.home, run);
    const status = () => home.json<{ step: number; state: string }>(["status", run]).catch(() => undefined);
    const goesOn = (from: number) =>
      eventually("training to go on", async () => ((await status())?.step ?? 0) > from || undefined);
    await goesOn(10);

    // The coordinator that is started again has the certificates that its agents know.
    const tlsBefore = readFileSync(paths.tls, "utf8");
    const coordinator = JSON.parse(readFileSync(paths.coordinator, "utf8")) as { process: { pid: number } };
    const from = (await status())!.step;
    process.kill(coordinator.process.pid, "SIGKILL");
    await goesOn(from);
    expect(readFileSync(paths.tls, "utf8")).toBe(tlsBefore);

    const secretFiles = [paths.token, paths.viewerToken, paths.adminToken, paths.tls];
    for (const path of secretFiles) expect(statSync(path).mode & 0o777).toBe(0o600);
    const credentials = [paths.token, paths.viewerToken, paths.adminToken].map((path) => readCredentials("test", path));
    expect(new Set(credentials.map(({ token }) => token)).size).toBe(3);
    for (const { token } of credentials) expect(Buffer.from(token, "base64url").length).toBeGreaterThanOrEqual(16);

    // A viewer's file is enough to look, and not enough to stop.
    const address = (JSON.parse(readFileSync(paths.coordinator, "utf8")) as { address: string }).address;
    const viewer = openRunClient({ address, ...credentials[1]! });
    expect((await viewer.getStatus()).runId).toBe(run);
    await expect(viewer.stop(true)).rejects.toMatchObject({ code: "FORBIDDEN" });
    viewer.close();

    const keyOf = (pem: string) => /PRIVATE KEY-----\s*(\S+)/.exec(pem)![1]!;
    const secrets = [
      ...credentials.map(({ token }) => token),
      keyOf(credentials[0]!.identity!.key),
      keyOf(readFileSync(paths.tls, "utf8")),
    ];
    const processes = processesOf(run);
    expect(processes.length).toBeGreaterThanOrEqual(5);
    const visible = processes.map(
      (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8") + readFileSync(`/proc/${pid}/environ`, "utf8"),
    );
    visible.push(execFileSync("ps", ["axwwe"], { encoding: "utf8", maxBuffer: 2 ** 26 }));
    for (const text of visible) for (const secret of secrets) expect(text.includes(secret)).toBe(false);

    const stopped = await home.coord(["stop", run]);
    expect(stopped, stopped.stderr).toMatchObject({ exitCode: 0 });
    await eventually("the end", async () => (processesOf(run).length === 0 ? true : undefined));
    const files = [...filesBelow(home.home), ...filesBelow(output)].filter((path) => !secretFiles.includes(path));
    expect(files.some((path) => path.endsWith("stderr.log"))).toBe(true);
    expect(files.some((path) => path.endsWith("manifest.json"))).toBe(true);
    for (const path of files) {
      const bytes = readFileSync(path);
      for (const secret of secrets) expect(bytes.includes(secret), `a secret in ${path}`).toBe(false);
    }
    for (const text of [launched, stopped]) {
      for (const secret of secrets) expect((text.stdout + text.stderr).includes(secret)).toBe(false);
    }

    // Encrypted or not, killed or not: the same bytes.
    const again = home.path("again");
    const result = await home.coord(["launch", ...flags, "--listen", "0.0.0.0", "--output", again], {
      COORD_FAILPOINT: "sum-downloaded@3@0/0",
      COORD_FAILPOINT_MARKER: home.path("fired-again"),
    });
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(await finalDigests(again, steps)).toEqual(await finalDigests(home.path("closed"), steps));
  });

  it("lets an agent take its credentials from a pipe", async () => {
    const output = home.path("piped");
    const run = await home.launch([
      ...flags,
      "--nodes",
      "1",
      "--launcher",
      "none",
      "--listen",
      "0.0.0.0",
      "--output",
      output,
    ]);
    const paths = runPaths(home.home, run);
    const { address } = JSON.parse(readFileSync(paths.coordinator, "utf8")) as { address: string };
    const node = home.path("node");
    const agent = await home.coord(
      ["agent", "--join", address, "--node-rank", "0"],
      { COORD_HOME: node, COORD_RUN_ID: run, COORD_TOKEN_FILE: "/dev/stdin" },
      readFileSync(paths.token, "utf8"),
    );
    expect(agent, agent.stderr).toMatchObject({ exitCode: 0 });
    expect(statSync(runPaths(node, run).token).mode & 0o777).toBe(0o600);
    expect(readdirSync(output)).toContain("adapter_model.safetensors");
  });
});
