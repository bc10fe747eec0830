import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ErrorCode, errorCatalogue } from "../../shared/errors.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";

const read = (path: string) => readFileSync(join(packageRoot(), path), "utf8");

/** The test that produces each code. */
const producedBy: Readonly<Record<ErrorCode, string>> = {
  CONFIG_INVALID: "test/unit/shared/config/resolve.test.ts",
  MODEL_INVALID: "test/integration/badModels.test.ts",
  DATA_INVALID: "test/unit/coordinator/dataset/reading/readDataSet.test.ts",
  TEMPLATE_INVALID: "test/unit/shared/dataset/chatTemplate.test.ts",
  DOWNLOAD_FAILED: "test/integration/hub.test.ts",
  ADAPTER_INVALID: "test/unit/shared/checkpoint/adapterConfig.test.ts",
  CHECKPOINT_INVALID: "test/unit/coordinator/startingPoint.test.ts",
  OUTPUT_IN_USE: "test/unit/coordinator/runs/claimOutput.test.ts",
  RUN_NOT_FOUND: "test/unit/coordinator/runs/findRun.test.ts",
  RUN_IN_USE: "test/unit/coordinator/runs/runDirectory.test.ts",
  PORT_UNAVAILABLE: "test/unit/coordinator/ports/bindLeased.test.ts",
  PREFLIGHT_REFUSED: "test/integration/errorCodes.test.ts",
  STORAGE_FAILED: "test/chaos/checkpointErrors.test.ts",
  ENGINE_FAILED: "test/integration/errorCodes.test.ts",
  NOT_FINITE: "test/unit/shared/checkpoint/localStore.test.ts",
  DAMAGED: "test/unit/coordinator/collective/sharedRound.test.ts",
  DIVERGED: "test/unit/coordinator/membership/trainingSession.test.ts",
  WORKER_FAILED: "test/integration/errorCodes.test.ts",
  STALE_GENERATION: "test/unit/coordinator/membership/trainingSession.test.ts",
  NOT_A_MEMBER: "test/unit/coordinator/launch/agentPool.test.ts",
  UNAUTHENTICATED: "test/integration/server.test.ts",
  FORBIDDEN: "test/integration/access.test.ts",
  COORDINATOR_UNREACHABLE: "test/integration/errorCodes.test.ts",
  LIMIT_EXCEEDED: "test/unit/coordinator/dataset/dataService.test.ts",
  INVALID_REQUEST: "test/integration/collective.test.ts",
  STOPPED: "test/unit/coordinator/cli/whileInterruptible.test.ts",
  TERMINATED: "test/unit/coordinator/cli/whileInterruptible.test.ts",
  INTERNAL: "test/unit/coordinator/cli/reportError.test.ts",
};

describe("ERRORS.md", () => {
  const sections = read("ERRORS.md").split(/^## /m).slice(1);

  it("has a section for each code of the catalogue, in its order, and none besides", () => {
    expect(sections.map((section) => section.split("\n")[0])).toEqual(Object.keys(errorCatalogue));
  });

  it("says for each code why it comes and what to do", () => {
    for (const section of sections) {
      expect(section).toMatch(/^\*\*Cause\.\*\* \S.{8,}/m);
      expect(section).toMatch(/^\*\*Remedy\.\*\* \S.{5,}/m);
    }
  });

  it("is what README.md's table refers to", () => {
    expect(read("README.md")).toContain("[ERRORS.md](ERRORS.md)");
  });
});

it.each(Object.entries(producedBy))("%s is produced by %s", (code, path) => {
  expect(read(path)).toMatch(new RegExp(`\\b${code}\\b`));
});
