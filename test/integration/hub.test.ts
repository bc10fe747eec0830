import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DownloadProgress } from "../../coordinator/hub/fetchRepo.ts";
import { resolveSources } from "../../coordinator/hub/resolveSources.ts";
import { commit, FakeHub, type HubFile } from "../support/fakeHub.ts";

// Real HTTP on this host: a server that speaks the hub's protocol.
const rows = Buffer.from('{"text": "a"}\n'.repeat(20_000));
const files: Record<string, HubFile> = {
  "README.md": { content: Buffer.from("no data") },
  "data/train.jsonl": { content: rows, lfs: true },
  "data/test.jsonl": { content: Buffer.from("{}\n") },
  "config.json": { content: Buffer.from("{}") },
  "tokenizer.json": { content: Buffer.from('{"model": {}}') },
};

let directory: string;
let hub: FakeHub;
let endpoint: string;
let seen: DownloadProgress[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-hub-"));
  seen = [];
  await restart(files);
});
afterEach(async () => {
  await hub.stop();
  await rm(directory, { recursive: true, force: true });
});

async function restart(some: Record<string, HubFile>) {
  await hub?.stop();
  hub = new FakeHub("owner/name", some);
  endpoint = await hub.start();
}

function get(
  sources: { model?: string; data?: string[] },
  environment: Record<string, string> = {},
  signal?: AbortSignal,
) {
  return resolveSources(
    { model: undefined, data: undefined, evalData: undefined, downloadStallTimeoutMs: 300, ...sources },
    {
      environment: { HF_ENDPOINT: endpoint, HF_HOME: directory, ...environment },
      signal: signal ?? new AbortController().signal,
      onProgress: (progress) => seen.push(progress),
    },
  );
}

const snapshot = (kind: string) => join(directory, "hub", `${kind}s--owner--name`, "snapshots", commit);
const blobs = async () => readdir(join(directory, "hub", "datasets--owner--name", "blobs"));

describe("resolveSources", () => {
  it("downloads the data files of a data set, in the layout of HuggingFace's cache, and says how far it is", async () => {
    const { data } = await get({ data: ["hf://owner/name"] });
    expect(data).toEqual([join(snapshot("dataset"), "data/train.jsonl")]);
    expect(await readFile(data![0]!)).toEqual(rows);
    const refs = join(directory, "hub", "datasets--owner--name", "refs", "main");
    expect(await readFile(refs, "utf8")).toBe(commit);
    expect(seen.at(-1)).toEqual({
      repo: "owner/name",
      file: "data/train.jsonl",
      done: rows.length,
      total: rows.length,
    });
    expect(seen.every(({ done }, index) => index === 0 || done >= seen[index - 1]!.done)).toBe(true);
  });

  it("downloads a model's configuration and tokenizer, and leaves what is a path here alone", async () => {
    const local = join(directory, "rows.jsonl");
    await writeFile(local, "{}\n");
    const found = await get({ model: "owner/name@v1", data: [local] });
    expect(found).toMatchObject({ model: snapshot("model"), data: [local] });
    expect((await readdir(snapshot("model"))).sort()).toEqual(["config.json", "tokenizer.json"]);
  });

  it("downloads once, also when several want it at the same time", async () => {
    const all = await Promise.all([1, 2, 3].map(() => get({ data: ["owner/name"] })));
    expect(new Set(all.map(({ data }) => data![0])).size).toBe(1);
    expect(hub.downloads).toEqual(["data/train.jsonl from 0"]);
  });

  it("sends the token, and asks nobody when it is told to stay offline", async () => {
    await get({ data: ["owner/name"] }, { HF_TOKEN: "mirror-token" });
    expect([...hub.authorizations]).toEqual(["Bearer mirror-token"]);
    await hub.stop();
    const offline = await get({ data: ["owner/name"] }, { HF_HUB_OFFLINE: "1" });
    expect(offline.data).toEqual([join(snapshot("dataset"), "data/train.jsonl")]);
    await expect(get({ model: "owner/name" }, { HF_HUB_OFFLINE: "1" })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(/HF_HUB_OFFLINE is set, and revision main of the model owner\/name is not in/),
    });
  });

  it("goes on where a broken connection stopped", async () => {
    hub.misbehave = (_, response, from) => {
      if (from > 100_000) return false;
      response.writeHead(from > 0 ? 206 : 200, { "content-range": `bytes ${from}-${rows.length - 1}/${rows.length}` });
      response.write(rows.subarray(from, from + 70_000), () => response.destroy());
      return true;
    };
    const { data } = await get({ data: ["owner/name"] });
    expect(await readFile(data![0]!)).toEqual(rows);
    expect(hub.downloads.length).toBeGreaterThan(2);
    expect(hub.downloads.slice(1).every((one) => !one.endsWith("from 0"))).toBe(true);
  });

  it("goes on where an earlier process stopped", async () => {
    hub.misbehave = (_, response) => {
      response.write(rows.subarray(0, 50_000));
      return true;
    };
    await expect(get({ data: ["owner/name"] })).rejects.toMatchObject({ code: "DOWNLOAD_FAILED" });
    const sizes = (await blobs()).filter((name) => name.endsWith(".incomplete"));
    expect(sizes).toHaveLength(1);
    hub.misbehave = () => false;
    const { data } = await get({ data: ["owner/name"] });
    expect(await readFile(data![0]!)).toEqual(rows);
    expect(hub.downloads.at(-1)).toMatch(/from [1-9]\d*$/);
  });

  it("gives up a transfer that stalls, with the URL and the way to a mirror", async () => {
    hub.misbehave = (_, response) => {
      response.writeHead(200).flushHeaders();
      return true;
    };
    await expect(get({ data: ["owner/name"] })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(
        /Downloading http:\/\/127\.0\.0\.1:\d+\/datasets\/owner\/name\/resolve\/.*train\.jsonl failed: no bytes for 0\.3 s \(--download-stall-timeout-ms\) at 0 of 280000\. .*set HF_ENDPOINT to a mirror/,
      ),
    });
  });

  it("takes a short answer for a break, and resumes", async () => {
    let short = true;
    hub.misbehave = (_, response) => {
      if (!short) return false;
      short = false;
      response.end(rows.subarray(0, 1000));
      return true;
    };
    await get({ data: ["owner/name"] });
    expect(hub.downloads).toEqual(["data/train.jsonl from 0", "data/train.jsonl from 1000"]);
  });

  it("gives up when the answer is short every time", async () => {
    hub.misbehave = (_, response, from) => {
      response.writeHead(from > 0 ? 206 : 200, { "content-range": `bytes ${from}-${rows.length - 1}/${rows.length}` });
      response.end(from > 0 ? "" : rows.subarray(0, 1000));
      return true;
    };
    await expect(get({ data: ["owner/name"] })).rejects.toThrow(/it ended after 1000 of 280000 bytes/);
  });

  it("keeps nothing whose hash is wrong", async () => {
    await restart({ "a.jsonl": { content: rows, lfs: true, announced: "f".repeat(64) } });
    await expect(get({ data: ["owner/name"] })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(/does not have the announced hash f{64}/),
    });
    expect(await blobs()).toEqual([]);
  });

  it("starts over when what an earlier process left was of another file", async () => {
    hub.misbehave = (_, response) => {
      response.write(Buffer.alloc(50_000, 120));
      return true;
    };
    await expect(get({ data: ["owner/name"] })).rejects.toThrow();
    hub.misbehave = () => false;
    const { data } = await get({ data: ["owner/name"] });
    expect(await readFile(data![0]!)).toEqual(rows);
    expect(hub.downloads.at(-1)).toBe("data/train.jsonl from 0");
  });

  it("starts over with a server that knows no ranges", async () => {
    let broken = false;
    hub.misbehave = (_, response) => {
      if (broken) response.end(rows);
      else response.write(rows.subarray(0, 70_000), () => response.destroy());
      broken = true;
      return true;
    };
    const { data } = await get({ data: ["owner/name"] });
    expect(await readFile(data![0]!)).toEqual(rows);
  });

  it("waits out a server that is busy", async () => {
    let busy = 2;
    hub.misbehave = (_, response) => {
      if (busy-- <= 0) return false;
      response.writeHead(503).end();
      return true;
    };
    expect((await get({ data: ["owner/name"] })).data).toHaveLength(1);
    expect(hub.downloads).toHaveLength(3);
  });

  it("says that a repository does not exist, as what is missing", async () => {
    await expect(get({ data: ["owner/other"] })).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(
        /There is no dataset owner\/other with revision main at http:\S+ \(404\), and no file of that name here; check the name, or set HF_TOKEN/,
      ),
    });
    await expect(get({ model: "owner/name@v9" })).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringMatching(/revision v9/),
    });
    await expect(get({ data: ["hf://owner/name/nothing.csv"] })).rejects.toThrow(/has nothing named nothing\.csv/);
    await expect(get({ data: ["hf://owner"] })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("says that a file may not be read", async () => {
    hub.misbehave = (_, response) => {
      response.writeHead(403).end();
      return true;
    };
    await expect(get({ data: ["owner/name"] })).rejects.toThrow(/the server answers 403: set HF_TOKEN/);
  });

  it("says that nobody answers", async () => {
    await hub.stop();
    await expect(get({ data: ["owner/name"] })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(/owner\/name failed: .*ECONNREFUSED.* set HF_ENDPOINT to a mirror/),
    });
    hub = new FakeHub("owner/name", files);
    endpoint = await hub.start();
  });

  it("stops when aborted", async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    hub.misbehave = (_, response) => {
      response.write(rows.subarray(0, 1000));
      controller.abort(reason);
      return true;
    };
    await expect(get({ data: ["owner/name"] }, {}, controller.signal)).rejects.toBe(reason);
  });
});
