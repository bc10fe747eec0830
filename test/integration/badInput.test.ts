import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { type CommandResult, CoordHome, eventually } from "../support/coord.ts";
import { processesWith } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
let flags: string[];
beforeAll(async () => {
  home = await CoordHome.create();
  flags = [...(await smallRun(home)), "--max-steps", "3"];
});
afterAll(() => home.remove());
afterEach(async () => {
  await rm(home.path("deep"), { recursive: true, force: true });
  expect(processesWith(`COORD_HOME=${home.home}`)).toEqual([]);
});

const runs = () => readdir(join(home.home, "runs")).catch((): string[] => []);
const output = () => home.path("deep", "output");
const write = (name: string, content: string | Buffer) => writeFile(home.path(name), content);
/** Several --data would add up. */
const launch = (args: readonly string[]) => {
  const at = flags.indexOf("--data");
  const own = args.includes("--data") ? flags.toSpliced(at, 2) : flags;
  return ["launch", ...own, "--output", output(), ...args];
};
const rows = (count: number) =>
  Array.from({ length: count }, (_, index) => `${JSON.stringify({ data: [`问：${index}`, `答：${index}`] })}\n`).join(
    "",
  );

/** A command that is refused: one message on standard error, nothing on standard output, nothing left behind. */
async function expectRefused(args: readonly string[], exitCode: number, message: RegExp, env = {}): Promise<void> {
  const before = await runs();
  const result = await home.coord(args, env);
  expectOneMessage(result, message);
  expect(result.exitCode).toBe(exitCode);
  expect(await runs()).toEqual(before);
}

function expectOneMessage({ stdout, stderr }: CommandResult, message: RegExp): void {
  expect(stderr).toMatch(/^coord: [^\n]*$/);
  expect(stderr).toMatch(message);
  expect(stdout).toBe("");
}

/** A launch that is refused before there is a run. */
async function expectLaunchRefused(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
  await expectRefused(launch(args), exitCode, message);
  expect(await readdir(home.root)).not.toContain("deep");
}

/** A launch that fails when it has begun: one message in the block at the end, and a run that is listed as failed. */
async function expectLaunchFailed(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
  const before = new Set(await runs());
  const result = await home.coord(launch(args));
  const run = (await runs()).find((name) => !before.has(name))!;
  expect(result.stderr).toBe("");
  expect(result.stdout.match(new RegExp(message, "g"))).toHaveLength(1);
  expect(result.stdout).toMatch(new RegExp(`^Root cause \\(first observed failure\\): .*${message.source}`, "m"));
  expect(result.stdout).not.toMatch(/^\s*at |"level":/m);
  expect(result.exitCode).toBe(exitCode);
  expect(await home.json(["status", run])).toMatchObject({ state: "failed", exitCode });
  expect(await readdir(home.root)).not.toContain("deep");
}

describe("a command line that is wrong", () => {
  it.each([
    [["lunch"], /Unknown command "lunch"; did you mean coord launch\?/],
    [["frobnicate"], /Unknown command "frobnicate"; coord --help/],
    [["launch", "--learnin-rate", "3"], /Unknown flag --learnin-rate; did you mean --learning-rate\?/],
    [["launch", "--gpus", "0"], /--gpus must be at least 1, got 0\./],
    [["launch", "--gpus", "two"], /--gpus must be a whole number, got "two"\./],
    [["launch", "--learning-rate"], /--learning-rate needs a value\./],
    [["launch", "surplus"], /surplus/],
    [["resume", "--lora-r", "4"], /--lora-r cannot change when a run continues/],
    [["launch", "--port-range", "3000-2000"], /--port-range must go upwards.* got "3000-2000"/],
    [["launch", "--port-range", "80-90"], /--port-range must .*1024-65535, got "80-90"/],
    [["launch", "--tls-cert", "none.pem"], /--tls-cert and --tls-key must be given together/],
    [["launch", "--tls-ca", "none.pem"], /--tls-ca names .*none\.pem, which cannot be read \(ENOENT\)/],
    [["status", "nope"], /No run is named "nope"/],
  ])("%j", async (args, message) => {
    await expectRefused(args, 2, message);
  });

  it("names the variable of the environment that nothing knows", async () => {
    const message = /Unknown environment variable COORD_LEARNIN_RATE; did you mean COORD_LEARNING_RATE\?/;
    await expectRefused(["launch"], 2, message, { COORD_LEARNIN_RATE: "1" });
  });

  it("names key and file of a coord.yaml that nothing knows, and the line where it is no YAML", async () => {
    await write("unknown.yaml", "learnin_rate: 3\n");
    await expectRefused(
      ["launch", "--config", "unknown.yaml"],
      2,
      /Unknown key learnin_rate in unknown\.yaml; did you mean learning_rate\?/,
    );
    await write("broken.yaml", "nodes: 1\ntarget_modules: [q_proj\nepochs: 2\n");
    await expectRefused(["launch", "--config", "broken.yaml"], 2, /broken\.yaml, line \d: /);
    await expectRefused(["launch", "--config", "none.yaml"], 2, /Configuration file none\.yaml does not exist/);
  });

  it("shows a stack trace with --debug, and only then", async () => {
    const { exitCode, stderr } = await home.coord(["lunch", "--debug"]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^coord: Unknown command.*\n(.*\n)* +at /);
  });
});

describe("a model that cannot be trained", () => {
  const variant = async (change: (directory: string) => Promise<unknown>) => {
    const directory = home.path("variant");
    await rm(directory, { recursive: true, force: true });
    await cp(home.path("model"), directory, { recursive: true });
    await change(directory);
    return ["--model", directory];
  };
  const config = (edit: Record<string, unknown>) => async (directory: string) => {
    const path = join(directory, "config.json");
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...edit }));
  };
  const remove = (name: string) => (directory: string) => rm(join(directory, name));

  it.each<[string, (directory: string) => Promise<unknown>, RegExp]>([
    ["no directory", (directory) => rm(directory, { recursive: true }), /no model directory .*variant; --model wants/],
    [
      "a file in its place",
      async (directory) => {
        await rm(directory, { recursive: true });
        await writeFile(directory, "");
      },
      /variant is a file; --model wants/,
    ],
    ["no config.json", remove("config.json"), /variant has no config\.json/],
    [
      "a broken config.json",
      (directory) => truncate(join(directory, "config.json"), 20),
      /variant\/config\.json cannot be read as JSON/,
    ],
    [
      "an unknown architecture",
      config({ architectures: ["MambaForCausalLM"], model_type: "mamba" }),
      /variant\/config\.json names the architecture "MambaForCausalLM"; supported: .*LlamaForCausalLM/,
    ],
    [
      "more layers than weights",
      config({ num_hidden_layers: 3 }),
      /weights in .*variant lack model\.layers\.2\..* and \d+ more/,
    ],
    ["no weights", remove("model.safetensors"), /variant has neither model\.safetensors nor/],
    [
      "truncated weights",
      (directory) => truncate(join(directory, "model.safetensors"), 100_000),
      /variant\/model\.safetensors cannot be used: expected \d+ bytes, file has 100000: it is truncated\. Copy or download/,
    ],
    [
      "weights as a pickle",
      (directory) => rename(join(directory, "model.safetensors"), join(directory, "pytorch_model.bin")),
      /variant has its weights as pytorch_model\.bin.*safe_serialization=True/,
    ],
    [
      "an index that leaves the directory",
      async (directory) => {
        await rename(join(directory, "model.safetensors"), home.path("outside.safetensors"));
        const index = JSON.stringify({ weight_map: { "model.norm.weight": "../outside.safetensors" } });
        await writeFile(join(directory, "model.safetensors.index.json"), index);
      },
      /index\.json names the file "\.\.\/outside\.safetensors", which is not in the model directory; use/,
    ],
    [
      "weights that are a link to somewhere else",
      async (directory) => {
        await rm(join(directory, "model.safetensors"));
        await symlink(home.path("model", "model.safetensors"), join(directory, "model.safetensors"));
      },
      /variant\/model\.safetensors is a link that leads out of the model directory, to .*; put the file itself/,
    ],
    [
      "one flipped bit in the header of the weights",
      async (directory) => {
        const bytes = await readFile(join(directory, "model.safetensors"));
        bytes[40]! ^= 4;
        await writeFile(join(directory, "model.safetensors"), bytes);
      },
      /variant\/model\.safetensors cannot be used: .*\. Copy or download it again\./,
    ],
    [
      "a billion layers",
      config({ num_hidden_layers: 1e9 }),
      /variant\/config\.json does not describe a Llama model that can be trained: num_hidden_layers: .*; use the file/,
    ],
    [
      "other sizes than the weights",
      config({ intermediate_size: 33 }),
      /gate_proj\.weight in .*variant has shape \[\d+, \d+\] where config\.json asks for \[33, \d+\]; use the files/,
    ],
    ["no tokenizer.json", remove("tokenizer.json"), /variant has no tokenizer\.json; export it with/],
    [
      "a broken tokenizer.json",
      (directory) => truncate(join(directory, "tokenizer.json"), 1000),
      /variant\/tokenizer\.json is not JSON/,
    ],
    [
      "a chat template that is no template",
      (directory) => writeFile(join(directory, "chat_template.jinja"), "{% for %}"),
      /chat_template\.jinja in .*variant cannot be compiled/,
    ],
    [
      "a chat template that fails",
      (directory) => writeFile(join(directory, "chat_template.jinja"), "{{ raise_exception('no such role') }}"),
      /rows\.jsonl, line 1: chat_template\.jinja in .*variant fails on this row: no such role/,
    ],
  ])("%s", async (_, change, message) => {
    await expectLaunchRefused(await variant(change), 2, message);
  });

  it("names the linear modules there are where --target-modules names another", async () => {
    await expectLaunchRefused(["--target-modules", "c_attn"], 2, /--target-modules names "c_attn".*q_proj/);
  });
});

describe("a data set that cannot be learned", () => {
  const row = '{"data": ["问：a", "答：b"]}\n';
  const knownFormats = "huatuo .* sharegpt .* openai .* alpaca .* text";

  it.each<[string, string | Buffer, RegExp]>([
    ["an empty file", "", /data\.jsonl is empty \(0 bytes\)/],
    ["blank lines", "\n\n\n", /data\.jsonl has no rows/],
    [
      "a row without the field",
      `${row}{"dta": 1, "x": 2}\n`,
      new RegExp(`data\\.jsonl, line 2: the row has the keys "dta", "x", .*known formats: ${knownFormats}`),
    ],
    ["broken JSON", `${row}${row}{"data": [}\n`, /data\.jsonl, line 3: bad JSON/],
    [
      "bytes that are not UTF-8",
      Buffer.concat([Buffer.from(row), Buffer.from([0x22, 0xff, 0x22])]),
      /data\.jsonl, line 2: byte 0xff is not UTF-8/,
    ],
  ])("%s", async (_, content, message) => {
    await write("data.jsonl", content);
    await expectLaunchRefused(["--data", home.path("data.jsonl")], 2, message);
  });

  it("a file that does not exist, and a directory without data files", async () => {
    await expectLaunchRefused(["--data", home.path("none.jsonl")], 2, /none\.jsonl does not exist; check --data/);
    await mkdir(home.path("nothing"), { recursive: true });
    await expectLaunchRefused(["--data", home.path("nothing")], 2, /The directory .*nothing has no data file/);
  });

  it("held-out rows given twice", async () => {
    const both = ["--eval-data", home.path("rows.jsonl"), "--eval-split", "0.1"];
    await expectLaunchRefused(both, 2, /Give either --eval-data or --eval-split, not both/);
  });

  it("a bad row far down is found when the data set is prepared", async () => {
    await write("late.jsonl", `${rows(400)}{"text": 7}\n`);
    await expectLaunchFailed(["--data", home.path("late.jsonl")], 2, /late\.jsonl, line 401: the row has a number/);
  });

  it("samples that are all too long say which setting cuts them", async () => {
    await expectLaunchFailed(["--max-length", "2"], 2, /of 40 rows, .*40 have theirs beyond --max-length 2 tokens/);
  });
});

describe("a place that is taken", () => {
  it("an output directory with another run's checkpoints is left as it is", async () => {
    const foreign = home.path("foreign");
    await mkdir(join(foreign, "checkpoint-3"), { recursive: true });
    const args = ["launch", ...flags, "--output", foreign];
    await expectRefused(args, 3, /The output .*foreign cannot be used: it holds checkpoint-3 .*choose another/);
    expect(await readdir(foreign)).toEqual(["checkpoint-3"]);
  });

  it("an output that is a file, or below one", async () => {
    const file = home.path("rows.jsonl");
    await expectRefused(
      ["launch", ...flags, "--output", file],
      2,
      /rows\.jsonl is a file; --output must be a directory/,
    );
    await expectRefused(["launch", ...flags, "--output", join(file, "out")], 1, /a part of the path is a file/);
  });

  it("a port that a stranger holds is named, and so is the stranger", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    try {
      const message = new RegExp(
        `Port ${port} is taken by process ${process.pid} .*not coord's; leave --master-port out`,
      );
      await expectLaunchRefused(["--master-port", String(port)], 3, message);
    } finally {
      server.close();
    }
  });
});

describe("an adapter that does not fit", () => {
  it("a directory that is not there, and one that is no adapter", async () => {
    await expectLaunchRefused(["--init-adapter", home.path("none")], 2, /none is not a PEFT adapter directory/);
    await expectLaunchRefused(["--init-adapter", home.path("model")], 2, /model is not a PEFT adapter directory/);
  });

  it("another rank or alpha, with the flag that makes it fit", async () => {
    const adapter = home.path("adapter");
    const trained = await home.coord(["launch", ...flags, "--lora-r", "4", "--max-steps", "1", "--output", adapter]);
    expect(trained.exitCode, trained.stdout).toBe(0);
    const init = ["--init-adapter", adapter];
    await expectLaunchRefused(init, 2, /adapter has rank 4, but --lora-r is 8; give --lora-r 4\./);
    await expectLaunchRefused(
      [...init, "--lora-r", "4", "--lora-alpha", "8"],
      2,
      /adapter has alpha 16, but --lora-alpha is 8; give --lora-alpha 16\./,
    );
  });
});

describe("a run that cannot be continued", () => {
  let run: string;
  let finished: string;
  const checkpoint = (step: number, file = "") => join(finished, `checkpoint-${step}`, file);
  const facts = async () => [
    await home.json(["status", run]),
    await readFile(join(home.home, "runs", run, "run.json"), "utf8"),
    await readdir(finished),
  ];
  /** Refused, and the run is as it was. */
  const expectResumeRefused = async (args: readonly string[], exitCode: number, message: RegExp) => {
    const before = await facts();
    await expectRefused(["resume", ...args], exitCode, message);
    expect(await facts()).toEqual(before);
  };
  beforeAll(async () => {
    finished = home.path("finished");
    const known = await runs();
    const args = ["launch", ...flags, "--max-steps", "6", "--save-steps", "2", "--output", finished];
    const result = await home.coord(args);
    expect(result.exitCode, result.stdout).toBe(0);
    run = (await runs()).find((name) => !known.includes(name))!;
  });

  it("one that does not exist", async () => {
    await expectRefused(["resume", "nope"], 2, /No run is named "nope" .*known runs: /);
  });

  it("one that is going on", async () => {
    const live = await home.launch([...flags, "--max-steps", "1000000", "--output", home.path("live")]);
    try {
      await expectRefused(["resume", live], 3, new RegExp(`Run ${live} is going on; .*coord attach ${live}`));
    } finally {
      await home.coord(["stop", live, "--now"]);
    }
    await eventually("the end", async () => processesWith(`COORD_RUN_ID=${live}`).length === 0 || undefined);
  });

  it("from a checkpoint that is not there", async () => {
    const message =
      /There is no "checkpoint-5" in .*finished; checkpoints there: checkpoint-6, checkpoint-4, checkpoint-2/;
    await expectResumeRefused([run, "--from", "checkpoint-5"], 2, message);
  });

  it("on a port that a stranger holds: the port is not kept among the run's settings", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await expectResumeRefused([run, "--master-port", String(port)], 3, new RegExp(`Port ${port} is taken by process`));
    server.close();
  });

  it("from a checkpoint of another run", async () => {
    await cp(join(home.path("adapter"), "checkpoint-1"), checkpoint(1), { recursive: true });
    const message = new RegExp(`checkpoint-1 is of run \\S+, not of run ${run}; .*--init-adapter`);
    await expectResumeRefused([run, "--from", "checkpoint-1"], 3, message);
    await rm(checkpoint(1), { recursive: true });
  });

  it("passes over a damaged checkpoint, says why and goes on from the one before", async () => {
    await truncate(checkpoint(6, "optimizer.safetensors"), 1000);
    const { exitCode, stdout } = await home.coord(["resume", run]);
    expect(exitCode, stdout).toBe(0);
    expect(stdout).toMatch(
      /Continuing from checkpoint-4 .*Passed over checkpoint-6, moved aside to \S*checkpoint-6\.invalid-\w+: .*optimizer\.safetensors is truncated/,
    );
    expect(stdout).toMatch(/^finished /m);
    const names = await readdir(finished);
    expect(names).toContain("checkpoint-6");
    // The damaged one is kept for a person to look at.
    expect(names.filter((name) => name.startsWith("checkpoint-6.invalid-"))).toHaveLength(1);
  });

  it("where every checkpoint is damaged: all of them with the reason", async () => {
    await truncate(checkpoint(6, "adapter_model.safetensors"), 0);
    await writeFile(checkpoint(4, "manifest.json"), "{");
    await rm(checkpoint(2, "trainer_state.json"));
    await expectResumeRefused(
      [run],
      2,
      /None of the checkpoints in .*finished is valid.*checkpoint-4: .*not valid JSON.*checkpoint-6: .*truncated.*checkpoint-2: .*missing/,
    );
  });
});

describe("Ctrl-C while a run is starting", () => {
  it("leaves neither a process nor a run that goes on", async () => {
    const known = await runs();
    const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    const launching = execa(process.execPath, [command, ...launch([])], {
      env: { COORD_HOME: home.home },
      reject: false,
    });
    const run = await eventually("a run", async () => (await runs()).find((name) => !known.includes(name)));
    launching.kill("SIGINT");
    expect(await launching).toMatchObject({ exitCode: 130 });
    await eventually("the end", async () => processesWith(`COORD_RUN_ID=${run}`).length === 0 || undefined);
  });
});

const disk = mountTemporary();
describe.skipIf(disk === undefined)("a full disk (skipped where this user may not mount a tmpfs)", () => {
  const mount = (size: string, ...options: string[]) =>
    execFileSync("mount", ["-t", "tmpfs", "-o", [`size=${size}`, ...options].join(","), "tmpfs", home.path("disk")]);
  beforeAll(async () => {
    await mkdir(home.path("disk"));
    mount("2m");
  });
  afterAll(() => void execFileSync("umount", [home.path("disk")]));

  // With these settings a checkpoint takes about 0.8 MB.
  const large = ["--lora-r", "32", "--target-modules", "all-linear", "--max-steps", "4", "--save-steps", "1"];

  it("a checkpoint that does not fit leaves those before it whole, and the run goes on when there is room", async () => {
    const full = home.path("disk", "out");
    const known = await runs();
    const result = await home.coord(["launch", ...flags, ...large, "--output", full]);
    const run = (await runs()).find((name) => !known.includes(name))!;
    expect(result.stderr).toBe("");
    expect(result.exitCode).toBe(1);
    expect(result.stdout).toMatch(
      /^Root cause \(first observed failure\): checkpoint-3 needs \d+ bytes.*\d+ bytes are free at .*disk\/out: free space/m,
    );
    expect(result.stdout.match(/checkpoint-3 needs/g)).toHaveLength(1);
    expect(result.stdout).not.toMatch(/^\s*at |"level":/m);
    expect(await home.json(["status", run])).toMatchObject({ state: "failed", errorCode: "STORAGE_FAILED" });
    // The checkpoints before it and no half of one, under whatever name.
    const left = (await readdir(full)).filter((name) => name.includes("checkpoint"));
    expect(left.sort()).toEqual(["checkpoint-1", "checkpoint-2"]);

    mount("8m", "remount");
    const resumed = await home.coord(["resume", run]);
    expect(resumed.exitCode, resumed.stdout).toBe(0);
    expect(resumed.stdout).toContain("Continuing from checkpoint-2 (step 2). It is the newest valid one.");
    await rm(full, { recursive: true });
  });

  it("a COORD_HOME without room refuses the launch", async () => {
    await writeFile(home.path("disk", "filler"), Buffer.alloc(8 * 1024 * 1024)).catch(() => undefined);
    const env = { COORD_HOME: home.path("disk", "home") };
    const result = await home.coord(launch([]), env);
    expectOneMessage(result, /Could not (write|create) .*disk\/home.*the disk is full; free space there/);
    expect(result.exitCode).toBe(1);
    expect(await readdir(home.root)).not.toContain("deep");
  });
});

/** True where a tmpfs can be mounted; undefined where not. */
function mountTemporary(): true | undefined {
  try {
    execFileSync("mount", ["--fake", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" });
    return process.getuid?.() === 0 ? true : undefined;
  } catch {
    return undefined;
  }
}
