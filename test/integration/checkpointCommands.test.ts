import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../../shared/tensors/safetensors.ts";
import { CoordHome } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

interface Listed {
  readonly checkpoints: readonly { name: string; step: number; bytes: number; evalLoss: number; best: boolean }[];
}

interface Verified {
  readonly valid: boolean;
  readonly checkpoints: readonly {
    name: string;
    valid: boolean;
    files: readonly { name: string; state: string; problem: string | null }[];
  }[];
}

describe("commands about checkpoints", () => {
  let home: CoordHome;
  let output: string;
  let run: string;
  beforeAll(async () => {
    home = await CoordHome.create();
    output = home.path("out");
    const limits = ["--max-steps", "12", "--save-steps", "2", "--eval-steps", "2", "--eval-split", "0.2"];
    const kept = ["--save-total-limit", "2", "--save-milestone-steps", "6"];
    const flags = [...(await smallRun(home)), ...limits, ...kept, "--output", output];
    const launched = await home.coord(["launch", ...flags]);
    expect(launched, launched.stderr).toMatchObject({ exitCode: 0 });
    run = (await home.json<{ run: string }>(["status"])).run;
  });
  afterAll(() => home.remove());

  /** A copy of the output directory that a test may damage; it belongs to no run. */
  const copy = async (name: string) => {
    await cp(output, home.path(name), { recursive: true });
    await rm(home.path(name, ".coord-run.json"), { force: true });
    return home.path(name);
  };

  it("keep the newest, the best and the milestones, and list them", async () => {
    const { checkpoints } = await home.json<Listed>(["checkpoints", "list"]);
    const losses = checkpoints.map(({ evalLoss }) => evalLoss);
    expect(losses.every((loss) => loss > 0)).toBe(true);
    const best = checkpoints.find((checkpoint) => checkpoint.best);
    expect(best?.evalLoss).toBe(Math.min(...losses));
    const steps = checkpoints.map(({ step }) => step);
    expect(steps).toEqual(expect.arrayContaining([12, 6, best?.step]));
    // The limit of 2 counts the newest and the best; the milestone comes on top of it.
    expect(steps).toHaveLength(3);
    const state = JSON.parse(await readFile(join(output, "checkpoint-12", "trainer_state.json"), "utf8"));
    expect(state.best_model_checkpoint).toBe(join(output, `checkpoint-${best?.step}`));
    const { stdout } = await home.coord(["checkpoints", "list", run]);
    expect(stdout).toMatch(/^checkpoint-12 .*$/m);
  });

  it("show one by name, by path and by working directory", async () => {
    const byName = await home.json<{ path: string; step: number }>(["checkpoints", "show", run, "checkpoint-6"]);
    expect(byName).toMatchObject({
      path: join(output, "checkpoint-6"),
      step: 6,
      adapter: { r: 8 },
      cursor: { slots: 1 },
    });
    expect(await home.json(["checkpoints", "show", "out/checkpoint-6"])).toEqual(byName);
    expect(await home.json(["checkpoints", "show"])).toMatchObject({ step: 12 });
    const missing = await home.coord(["checkpoints", "show", run, "checkpoint-5"]);
    expect(missing).toMatchObject({ exitCode: 2 });
    expect(missing.stderr).toContain("There is no checkpoint-5 in");
  });

  it("verify every file and say per file what is wrong", async () => {
    expect(await home.json<Verified>(["checkpoints", "verify"])).toMatchObject({ valid: true });
    const broken = await copy("broken");
    await truncate(join(broken, "checkpoint-12", "optimizer.safetensors"), 100);
    await rm(join(broken, "checkpoint-12", "trainer_state.json"));
    await writeFile(join(broken, "checkpoint-12", "stray.txt"), "x");
    const { exitCode, stdout } = await home.coord(["checkpoints", "verify", broken, "--json"]);
    expect(exitCode).toBe(1);
    const found = JSON.parse(stdout) as Verified;
    const twelve = found.checkpoints.find(({ name }) => name === "checkpoint-12");
    const files = Object.fromEntries(twelve!.files.map((file) => [file.name, file.problem ?? file.state]));
    expect(found.valid).toBe(false);
    expect(files).toMatchObject({ "adapter_model.safetensors": "ok", "tokenizer.json": "ok", "stray.txt": "extra" });
    expect(files["optimizer.safetensors"]).toMatch(/is truncated: expected \d+ bytes, file has 100\.$/);
    expect(files["trainer_state.json"]).toMatch(/is missing\.$/);
    expect(found.checkpoints.filter(({ valid }) => valid)).toHaveLength(2);
    const text = await home.coord(["checkpoints", "verify", join(broken, "checkpoint-12")]);
    expect(text.stdout).toMatch(/^INVALID {2}checkpoint-12 {2}\d of \d files in order$/m);
  });

  it("compare two", async () => {
    const first = join(output, "checkpoint-6");
    interface Difference {
      readonly sameState: boolean;
      readonly parameters: readonly { name: string; state: string; maxAbs: number }[];
      readonly settings: readonly { name: string; first: unknown; second: unknown }[];
    }
    const difference = await home.json<Difference>(["checkpoints", "diff", run, "checkpoint-6", "checkpoint-12"]);
    expect(difference.sameState).toBe(false);
    expect(difference.parameters).toHaveLength(8);
    expect(difference.parameters.every(({ maxAbs, state }) => state === "changed" && maxAbs > 0)).toBe(true);
    expect(difference.settings).toContainEqual({ name: "step", first: 6, second: 12 });
    const same = await home.json<Difference>(["checkpoints", "diff", first, first]);
    expect(same).toMatchObject({ sameState: true, settings: [] });
    expect((await home.coord(["checkpoints", "diff", first])).exitCode).toBe(2);
  });

  it("prune to a limit, never below the last valid one unless asked", async () => {
    const place = await copy("pruned");
    const names = async () => (await readdir(place)).filter((name) => name.includes("checkpoint")).sort();
    const before = await names();
    const dry = await home.json<{ removed: string[] }>([
      "checkpoints",
      "prune",
      place,
      "--save-total-limit",
      "1",
      "-n",
    ]);
    expect(dry.removed.length).toBeGreaterThan(0);
    expect(await names()).toEqual(before);
    // The newest is damaged, so it does not count and is left for a person.
    await truncate(join(place, "checkpoint-12", "adapter_model.safetensors"), 10);
    const pruned = await home.json<{ kept: string[] }>(["checkpoints", "prune", place, "--save-total-limit", "1"]);
    expect(pruned.kept.length).toBeGreaterThan(0);
    expect(await names()).toEqual(["checkpoint-12", ...pruned.kept].sort());
    expect((await home.coord(["checkpoints", "prune", place, "--save-total-limit", "0"])).exitCode).toBe(2);
    expect((await home.coord(["checkpoints", "prune", place, "--all"])).exitCode).toBe(0);
    expect(await names()).toEqual([]);
  });

  it("export the adapter alone and the merged model, and refuse an occupied place", async () => {
    const adapter = home.path("adapter");
    expect(await home.coord(["export", run, "--adapter", "--to", adapter])).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await readdir(adapter)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    expect(await readFile(join(adapter, "adapter_model.safetensors"))).toEqual(
      await readFile(join(output, "checkpoint-12", "adapter_model.safetensors")),
    );
    // From the bare adapter, in several files and another type.
    const merged = home.path("merged");
    const flags = ["--merge", "--dtype", "bf16", "--max-shard-size", "50KB"];
    const report = await home.json<{ files: string[]; modules: number }>(["export", adapter, ...flags, "--to", merged]);
    expect(report.modules).toBe(4);
    expect(report.files.length).toBeGreaterThan(2);
    const index = JSON.parse(await readFile(join(merged, "model.safetensors.index.json"), "utf8"));
    expect([...new Set(Object.values(index.weight_map))].sort()).toEqual(report.files);
    expect(JSON.parse(await readFile(join(merged, "config.json"), "utf8"))).toMatchObject({ torch_dtype: "bfloat16" });
    const file = await openSafetensors(join(merged, report.files[0]!));
    expect([...file.entries.values()].every(({ dtype }) => dtype === "BF16")).toBe(true);
    await file.close();
    expect(await readdir(merged)).toEqual(expect.arrayContaining(["tokenizer.json", "tokenizer_config.json"]));

    const again = await home.coord(["export", run, "--merge", "--to", merged]);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain("is there already");
    expect((await readdir(home.root)).filter((name) => name.startsWith(".tmp-"))).toEqual([]);
  });

  it("train on the merged model as on any other", async () => {
    const merged = home.path("again");
    expect(await home.coord(["export", run, "--merge", "--to", merged])).toMatchObject({ exitCode: 0 });
    const data = ["--data", home.path("rows.jsonl"), "--max-steps", "1", "--output", home.path("second")];
    const trained = await home.coord(["launch", "--model", merged, ...data]);
    expect(trained, trained.stderr).toMatchObject({ exitCode: 0 });
  });

  it("import a Trainer's checkpoint, which resume then continues", async () => {
    // The files that HuggingFace's Trainer leaves, as far as they are read; the interop tests have real ones.
    const foreign = home.path("trainer", "checkpoint-5");
    await mkdir(foreign, { recursive: true });
    for (const name of ["adapter_config.json", "adapter_model.safetensors"]) {
      await cp(join(output, "checkpoint-6", name), join(foreign, name));
    }
    const history =
      '[{"epoch": 0.5, "step": 5, "loss": 5.1, "grad_norm": NaN, "learning_rate": 0.001}, {"step": 5, "epoch": 0.5, "eval_loss": 4.5, "eval_runtime": 1.0}, {"step": 5, "train_runtime": 3}]';
    await writeFile(
      join(foreign, "trainer_state.json"),
      `{"global_step": 5, "epoch": 0.5, "max_steps": 8, "num_train_epochs": 1, "train_batch_size": 2, "logging_steps": 1, "save_steps": 5, "eval_steps": 5, "best_metric": null, "log_history": ${history}}`,
    );
    await writeFile(join(foreign, "optimizer.pt"), "PK");
    const imported = home.path("imported");
    const from = ["--model", home.path("model"), "--data", home.path("rows.jsonl"), "--output", imported];
    const report = await home.json<{ run: string; leftOut: string[] }>(["import", foreign, ...from]);
    expect(report).toMatchObject({ step: 5, maxSteps: 8, modules: 4, logged: 2, settings: { maxSteps: 8, loraR: 8 } });
    expect(report.leftOut[0]).toContain("optimizer.pt is a Python pickle");
    expect(await home.json(["status", report.run])).toMatchObject({ state: "stopped", step: 5 });
    expect(await home.json<Verified>(["checkpoints", "verify", imported])).toMatchObject({ valid: true });

    const resumed = await home.coord(["resume", imported]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    expect(resumed.stdout).toContain("Continuing from checkpoint-5 (step 5)");
    expect((await home.metrics(report.run)).map((line) => line["step"])).toEqual([6, 7, 8]);
    const state = JSON.parse(await readFile(join(imported, "checkpoint-8", "trainer_state.json"), "utf8"));
    expect(state.log_history.map((line: { step: number }) => line.step)).toEqual([5, 5, 6, 7, 8]);
  });

  it("refuse to import what has no step, another rank or no model, and leave no run behind", async () => {
    const before = await home.json<unknown[]>(["list"]);
    const refused = async (args: string[]) => {
      const { exitCode, stderr } = await home.coord(["import", ...args, "--output", home.path("refused")]);
      expect(exitCode).toBe(2);
      return stderr;
    };
    const model = ["--model", home.path("model"), "--data", home.path("rows.jsonl")];
    expect(await refused([output, ...model])).toContain("has no trainer_state.json");
    expect(await refused([home.path("trainer", "checkpoint-5"), ...model, "--lora-r", "4"])).toContain("has 8");
    expect(await refused([home.path("trainer", "checkpoint-5")])).toContain("needs --model and --data");
    expect(await refused([join(output, "checkpoint-6"), ...model])).toContain("is a checkpoint of coord");
    expect(await home.json<unknown[]>(["list"])).toEqual(before);
  });
});
