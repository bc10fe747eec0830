import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CommandContext } from "../../../../coordinator/cli/command.ts";
import { completions } from "../../../../coordinator/cli/completions.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const context = (home: string) => ({ environment: { COORD_HOME: home } }) as unknown as CommandContext;

it("completes commands, flags and the choices of a flag", async () => {
  const at = context("/nowhere");
  expect(await completions(["la"], at)).toEqual(["launch"]);
  expect(await completions(["checkpoint"], at)).toEqual(["checkpoints", "checkpoint"]);
  expect(await completions(["launch", "--lora-r"], at)).toEqual(["--lora-r"]);
  expect(await completions(["launch", "--data-plane", "s"], at)).toEqual(["shared"]);
  expect(await completions(["completion", ""], at)).toEqual(["bash", "zsh", "fish"]);
});

it("leaves file names to the shell, and says nothing about commands that are not there", async () => {
  const at = context("/nowhere");
  expect(await completions(["launch", "--model", ""], at)).toEqual([]);
  expect(await completions(["frobnicate", "--"], at)).toEqual([]);
});

it("completes runs of this host, the newest first", async () => {
  const home = temporaryDirectory();
  for (const id of ["20260101-1200-aaaa", "20260102-1200-bbbb"]) {
    await mkdir(join(home, "runs", id), { recursive: true });
  }
  expect(await completions(["status", "2026"], context(home))).toEqual(["20260102-1200-bbbb", "20260101-1200-aaaa"]);
});
