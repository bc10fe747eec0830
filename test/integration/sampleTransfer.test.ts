import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { dataHandlers } from "../../coordinator/dataset/dataService.ts";
import type { TrainingSession } from "../../coordinator/membership/trainingSession.ts";
import { CoordinatorServer } from "../../coordinator/server.ts";
import { epochOrder } from "../../shared/dataset/epochOrder.ts";
import { openTokenFile, type TokenFile } from "../../shared/dataset/tokenFile.ts";
import { TokenFileWriter } from "../../shared/dataset/tokenFileWriter.ts";
import { arrangeRows } from "../../shared/dataset/trainingRows.ts";
import { DataService, Split } from "../../shared/gen/coord/v1/data_pb.ts";
import { createLogger } from "../../shared/log.ts";
import { CoordinatorClient } from "../../worker/collective/coordinatorClient.ts";

let home: string;
let tokens: TokenFile;
let server: CoordinatorServer;
let address: string;
let sent: number[];
const clients: CoordinatorClient[] = [];
const samples = 3000;
const order = epochOrder({ seed: 1, datasetSize: samples, slots: 1, microBatch: 1, accumulation: 1 }, 0);

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "coord-transfer-"));
  vi.stubEnv("COORD_HOME", home);
  const path = join(home, "key.tokens");
  const writer = await TokenFileWriter.create(path, 4);
  for (let number = 0; number < samples; number++) {
    const length = 2 + (number % 50);
    const ids = Uint32Array.from({ length }, (_, at) => number * 70_000 + at);
    await writer.append(
      ids,
      Uint8Array.from(ids, (_, at) => at % 2),
    );
  }
  await writer.commit([], { rows: samples, truncated: 0, cutTokens: 0, tooLong: 0, unlabelled: 0, cut: 0 });
  tokens = await openTokenFile(path);
  const session = { requireMember: () => undefined } as unknown as TrainingSession;
  const rows = arrangeRows({ lengths: tokens.trainLengths, parts: tokens.trainParts, weights: [], seed: 1 });
  // The worker's host does not have this file.
  const remote = { ...tokens, path: "/nowhere/key.tokens" };
  const handlers = dataHandlers(() => session, { tokens: remote, rows, orderOf: () => order });
  sent = [];
  server = new CoordinatorServer({ worker: "token", viewer: "v", admin: "a" }, createLogger("test"), undefined);
  server.add(DataService, {
    ...handlers,
    async *getSamples(request, context) {
      sent.push(...request.samples.map(Number));
      yield* handlers.getSamples(request, context);
    },
  });
  address = `127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.close(0);
  await tokens.close();
  vi.unstubAllEnvs();
  await rm(home, { recursive: true });
});

function worker(rank: number): CoordinatorClient {
  const caller = { runId: "run", workerId: `0/${rank}`, incarnation: `process-${rank}` };
  const client = new CoordinatorClient({ address, token: "token" }, caller);
  clients.push(client);
  return client;
}

it("a host without the token file is sent each sample once over gRPC, whichever of its workers asks, and how often", async () => {
  const { signal } = new AbortController();
  const train = { split: Split.TRAIN, epoch: 0 };
  const places = Array.from({ length: samples }, (_, place) => place);
  const expected = await Promise.all(places.map((place) => tokens.sample("train", order(place))));
  expect(await worker(0).samples(train, places, signal)).toEqual(expected);
  expect([...sent].sort((a, b) => a - b)).toEqual(places);
  expect(await worker(1).samples(train, places.slice(0, 100), signal)).toEqual(expected.slice(0, 100));
  expect(sent).toHaveLength(samples);
  expect(await readdir(join(home, "cache", "samples"))).toEqual([`${tokens.contentKey}.samples`]);
});
