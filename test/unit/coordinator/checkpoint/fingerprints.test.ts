import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { modelFingerprint } from "../../../../coordinator/checkpoint/fingerprints.ts";
import { writeRandomModel } from "../../../support/randomModel.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";
import { tinyConfig } from "../../../support/tinyModel.ts";

it("a model's fingerprint is the same wherever it is, and another when its weights or settings are", async () => {
  const model = join(temporaryDirectory(), "model");
  await writeRandomModel(model, tinyConfig);
  const before = await modelFingerprint(model);
  const elsewhere = join(temporaryDirectory(), "elsewhere");
  await cp(model, elsewhere, { recursive: true });
  expect(await modelFingerprint(elsewhere)).toBe(before);
  const weights = join(elsewhere, "model.safetensors");
  const bytes = await readFile(weights);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(weights, bytes);
  expect(await modelFingerprint(elsewhere)).not.toBe(before);
  await writeFile(join(model, "config.json"), `${await readFile(join(model, "config.json"), "utf8")} `);
  expect(await modelFingerprint(model)).not.toBe(before);
});
