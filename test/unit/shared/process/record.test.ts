import { readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ownIdentity } from "../../../../shared/process/identity.ts";
import {
  type ProcessRecord,
  readProcessRecords,
  removeProcessRecord,
  writeProcessRecord,
} from "../../../../shared/process/record.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const record: ProcessRecord = {
  runId: "20261120-2154-k3f9",
  role: "worker",
  rank: 3,
  nodeRank: 1,
  localRank: 1,
  gpu: "1",
  ports: [29500],
  startedAtMs: 1_790_000_000_000,
  user: "ann",
  identity: ownIdentity(),
};

describe("process records", () => {
  it("come back as they were written, readable for their owner alone", async () => {
    const directory = join(temporaryDirectory(), "processes");
    const path = await writeProcessRecord(directory, record);
    expect(path).toBe(join(directory, `worker-${process.pid}.json`));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await readProcessRecords(directory, record.runId)).toEqual({ records: [{ path, record }], damaged: [] });
    await removeProcessRecord(path);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("are none where the directory is missing", async () => {
    const found = await readProcessRecords(join(temporaryDirectory(), "processes"), record.runId);
    expect(found).toEqual({ records: [], damaged: [] });
  });

  it("that are damaged, of another run or under another name are reported beside the good ones", async () => {
    const directory = temporaryDirectory();
    const good = await writeProcessRecord(directory, record);
    const foreign = await writeProcessRecord(directory, { ...record, role: "agent", runId: "other" });
    renameSync(
      await writeProcessRecord(directory, { ...record, role: "coordinator" }),
      join(directory, "worker-1.json"),
    );
    writeFileSync(join(directory, "worker-2.json"), "{");
    writeFileSync(join(directory, "worker-3.json"), JSON.stringify({ ...record, extra: 1 }));
    const { records, damaged } = await readProcessRecords(directory, record.runId);
    expect(records.map(({ path }) => path)).toEqual([good]);
    expect(damaged).toHaveLength(4);
    expect(damaged.find(({ path }) => path === foreign)?.reason).toContain('"other"');
  });
});
