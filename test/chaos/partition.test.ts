import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { killEverything } from "../support/killEverything.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";
import { TestHosts, whyNoHosts } from "../support/testHosts.ts";

const why = process.env["COORD_CHAOS"] === "full" ? whyNoHosts() : "npm run test:chaos runs it";
const steps = 700;
/** Milliseconds that a step takes at least. */
const stepMs = 150;
/** The default of --heartbeat-timeout-ms. */
const heartbeatTimeoutMs = 5000;

describe.skipIf(why)(`a network that fails${why ? ` (skipped: ${why})` : ""}`, () => {
  let home: CoordHome;
  let hosts: TestHosts;
  let model: string[];
  let reference: { adapter: string; optimizer: string };
  let run: string | undefined;
  let number = 0;

  beforeAll(async () => {
    home = await CoordHome.create();
    hosts = TestHosts.up(home.path("hosts"), 2);
    model = [...(await smallRun(home, 60)), "--max-steps", String(steps), "--slots", "2", "--save-steps", "200"];
    const result = await home.coord(["launch", ...model, "--gpus", "2", "--output", home.path("local")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    reference = await finalDigests(home.path("local"), steps);
  }, 180_000);
  afterEach(async () => {
    hosts.cable(2, "up");
    hosts.loss(2, 0);
    if (run) await killEverything(run);
  });
  afterAll(async () => {
    hosts?.down();
    await home?.remove();
  });

  const status = () => home.json<{ state: string; generation: number; step: number }>(["status", run!]);
  const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const events = () => home.events(run!);

  async function launch(): Promise<string> {
    const output = home.path(`out${++number}`);
    const env = Object.entries(slowedDown(stepMs)).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    run = await home.launch([...model, ...hosts.flags(1, 1), ...env, "--output", output]);
    await eventually("step 30", async () => ((await status()).step >= 30 ? true : undefined), 120_000);
    return output;
  }

  async function ends(output: string): Promise<void> {
    const { exitCode, stderr } = await home.coord(["attach", run!]);
    expect(exitCode, `${stderr}\n${JSON.stringify(await events())}`).toBe(0);
    expect(await finalDigests(output, steps)).toEqual(reference);
    const done = (await home.metrics(run!)).map((line) => line["step"]).filter((step) => step !== undefined);
    expect(done).toEqual(Array.from({ length: steps }, (_, index) => index + 1));
  }

  const generation = () => Number(readFileSync(join(home.home, "runs", run!, "generation"), "utf8"));

  const cuts = [
    { what: "both ways", cut: () => hosts.cable(2, "down"), mend: () => hosts.cable(2, "up") },
    { what: "from the coordinator", cut: () => hosts.loss(2, 100), mend: () => hosts.loss(2, 0) },
    { what: "to the coordinator", cut: () => hosts.loss(2, 100, "output"), mend: () => hosts.loss(2, 0) },
  ];

  it.each(cuts)(
    "for 5 s, $what: nobody is evicted and no step is lost",
    async ({ cut, mend }) => {
      const output = await launch();
      const before = generation();
      cut();
      await pause(5);
      mend();
      await ends(output);
      expect(generation()).toBe(before);
    },
    400_000,
  );

  it.each(cuts)(
    "for 60 s, $what: evicted, back when it is mended, same bytes",
    async ({ cut, mend, what }) => {
      const output = await launch();
      const before = generation();
      const cutAt = Date.now();
      cut();
      await pause(60);
      mend();
      const mendedAt = Date.now();
      await ends(output);
      const all = await events();
      const after = (timeMs: number, wanted: RegExp) =>
        all.find((event) => event.timeMs > timeMs && wanted.test(event.message))?.timeMs;
      const evictedMs = after(cutAt, /is out: it has been silent/)! - cutAt;
      const backMs = after(mendedAt, /workers are ready/)! - mendedAt;
      console.log(`60 s, ${what}: evicted after ${evictedMs} ms, training again ${backMs} ms after it was mended`);
      expect(evictedMs).toBeLessThan(2 * heartbeatTimeoutMs);
      expect(generation()).toBeGreaterThan(before);
    },
    600_000,
  );
});
