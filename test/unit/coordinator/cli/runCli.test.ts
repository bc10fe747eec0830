import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CommandContext } from "../../../../coordinator/cli/command.ts";
import { commandTable } from "../../../../coordinator/cli/commandTable.ts";
import { commandHelp, programHelp, runCli } from "../../../../coordinator/cli/runCli.ts";
import { textWidth } from "../../../../coordinator/observe/textWidth.ts";
import { settings } from "../../../../shared/config/settings.ts";
import { CoordError } from "../../../../shared/errors.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "coord-cli-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function run(argv: string[], environment: Record<string, string> = {}) {
  const written: string[] = [];
  const stdout = { isTTY: false, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
  const context: CommandContext = {
    environment: { COORD_HOME: home, ...environment },
    workingDirectory: home,
    stdout,
    onSignal: () => () => {},
  };
  const exitCode = await runCli(argv, context);
  return { exitCode, written: written.join("") };
}

async function refusal(argv: string[], environment: Record<string, string> = {}): Promise<[string, number]> {
  const thrown: unknown = await run(argv, environment).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(CoordError);
  const error = thrown as CoordError;
  return [error.message, error.exitCode];
}

describe("help", () => {
  it("shows the commands on 80 columns", async () => {
    expect(await programHelp(80)).toMatchInlineSnapshot(`
      "coord <command> [options]

      Distributed LoRA training from one command.

      Commands:
        coord launch       Start a training run and attach to it
        coord resume       Continue a run from a checkpoint
        coord attach       Watch a run that is going on
        coord status       Show where a run stands
        coord list         List the runs of this host
        coord logs         Print what a run's processes wrote
        coord checkpoints  List, verify, compare or prune checkpoints
        coord export       Write a merged model or a bare adapter
        coord import       Take over a checkpoint of PEFT or HuggingFace's Trainer
        coord events       Print what has happened in a run
        coord stop         Stop a run after a checkpoint
        coord checkpoint   Save a checkpoint now
        coord set          Change log level or save interval of a run that is going on
        coord stragglers   Show where the time of each rank goes, and who is slow
        coord profile      Write a trace of the next steps across all ranks
        coord report       Write a run as one HTML file
        coord dashboard    Serve a web page of this host's runs
        coord init         Write a commented coord.yaml
        coord manifest     Print the Kubernetes objects of a launch
        coord plan         Estimate a run: steps, memory, time, cost
        coord doctor       Check whether this host can train
        coord kill-stale   Find and end what dead runs left behind
        coord data         Look at a data set, or write it in another format
        coord completion   Print a completion script for bash, zsh or fish
        coord coordinator  Run a coordinator in the foreground, for agents started
                           from outside
        coord agent        Start workers on this node (started by a launcher)

      Common:
            --version  Show the version.                                     [boolean]
        -h, --help     Show this help.                                       [boolean]
            --debug    Show stack traces (or COORD_DEBUG=1).                 [boolean]

      coord <command> --help says more. Without a model and data, coord launch trains
      a built-in demo."
    `);
  });

  // Loading every command loads the whole program, which takes seconds on a busy host.
  it.each([80, 60])(
    "of every command fits %i columns",
    async (width) => {
      for (const { load } of Object.values(commandTable)) {
        const lines = (await commandHelp(await load(), width)).split("\n");
        expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(width);
      }
    },
    30_000,
  );

  it("of launch names every setting under its group", async () => {
    const { exitCode, written } = await run(["launch", "--help"]);
    expect(exitCode).toBe(0);
    for (const { flag } of settings) expect(written).toMatch(new RegExp(`^ +--${flag}[, ]`, "m"));
    for (const group of ["Launch:", "Model:", "Data:", "LoRA:", "Training:", "Common:"])
      expect(written).toContain(group);
  });

  it("of resume offers only what may change", async () => {
    const { written } = await run(["resume", "-h"]);
    expect(written).toContain("--gpus");
    expect(written).not.toContain("--lora-r");
  });

  it("is what coord alone prints, and the version is one line", async () => {
    expect((await run([])).written).toBe((await run(["--help"])).written);
    expect((await run(["--version"])).written).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("runCli", () => {
  it.each([
    [["lunch"], 'Unknown command "lunch"; did you mean coord launch?'],
    [["constructor"], 'Unknown command "constructor"; coord --help lists those there are.'],
    [["status", "--jason"], "Unknown flag --jason; did you mean --json?"],
    [["launch", "--lerning_rate", "1"], "Unknown flag --lerning_rate; did you mean --learning-rate?"],
    [
      ["launch", "--gpus", "0", "--nnodes", "x"],
      '2 settings are wrong:\n  - --nodes must be a whole number, got "x".\n  - --gpus must be at least 1, got 0.',
    ],
    [["launch", "--gpus"], "--gpus needs a value. See coord launch --help."],
    [["data"], "The command is coord data <action> <files..>. See coord data --help."],
    [["status", "a", "b"], "Unknown argument: b. See coord status --help."],
    [["launch", "extra"], "Unknown argument: extra. See coord launch --help."],
    [
      ["resume", "--lora-r", "4"],
      "--lora-r cannot change when a run continues; coord launch --init-adapter starts a new run from its weights.",
    ],
    [["resume", "--gpus", "0"], "--gpus must be at least 1, got 0."],
    [["agent", "--node-rank", "1"], "--join is missing."],
  ])("refuses %j", async (argv, message) => {
    expect(await refusal(argv)).toEqual([message, 2]);
  });

  it("refuses what the environment and coord.yaml get wrong", async () => {
    await writeFile(join(home, "coord.yaml"), "lora_rr: 4\n");
    expect(await refusal(["launch"], { COORD_GPU: "2" })).toEqual([
      "2 settings are wrong:\n  - Unknown key lora_rr in coord.yaml; did you mean lora_r?\n" +
        "  - Unknown environment variable COORD_GPU; did you mean COORD_GPUS?",
      2,
    ]);
  });

  it.each([
    ["a: [1\nb: 2\n", /^x\.yaml, line 2: .+\.$/],
    ["a: 1\na: 2\n", /^x\.yaml, line 2: Map keys must be unique\.$/],
    ["- 1\n", /^x\.yaml must hold settings as "key: value" lines\.$/],
  ])("names file and line of YAML that is none: %j", async (text, message) => {
    await writeFile(join(home, "x.yaml"), text);
    expect((await refusal(["launch", "--config", "x.yaml"]))[0]).toMatch(message);
  });

  it("refuses a configuration file that is not there", async () => {
    expect(await refusal(["launch", "--config", "nope.yaml"])).toEqual([
      "Configuration file nope.yaml does not exist.",
      2,
    ]);
  });

  it("says so when there are no runs", async () => {
    expect((await run(["list"])).written).toBe("No runs yet; coord launch starts one.\n");
    expect((await run(["list", "--json"])).written).toBe("[]\n");
    expect((await refusal(["status"]))[1]).toBe(2);
  });
});
