import { describe, expect, it } from "vitest";
import { threadsPerWorker, workerEnvironment } from "../../../../coordinator/launch/workerEnvironment.ts";

const place = {
  runId: "r",
  nodeRank: 1,
  localRank: 2,
  gpus: [8, 8],
  attempt: 4,
  threads: 3,
  device: "auto",
  masterAddress: "127.0.0.1",
  masterPort: 29500,
  sharedHost: false,
};

describe("workerEnvironment", () => {
  it("carries torchrun's names", () => {
    expect(workerEnvironment(place)).toEqual({
      RANK: "10",
      LOCAL_RANK: "2",
      NODE_RANK: "1",
      GROUP_RANK: "1",
      WORLD_SIZE: "16",
      LOCAL_WORLD_SIZE: "8",
      MASTER_ADDR: "127.0.0.1",
      MASTER_PORT: "29500",
      CUDA_VISIBLE_DEVICES: "2",
      OMP_NUM_THREADS: "3",
      TF_NUM_INTRAOP_THREADS: "3",
      TF_NUM_INTEROP_THREADS: "1",
      TF_FORCE_GPU_ALLOW_GROWTH: "true",
      TF_CPP_MIN_LOG_LEVEL: "1",
      COORD_RUN_ID: "r",
      COORD_ATTEMPT: "4",
    });
  });

  it("spreads the workers of simulated nodes over the host's devices", () => {
    const device = (nodeRank: number, localRank: number) =>
      workerEnvironment({ ...place, gpus: [2, 2], nodeRank, localRank, sharedHost: true })["CUDA_VISIBLE_DEVICES"];
    expect([device(0, 0), device(0, 1), device(1, 0), device(1, 1)]).toEqual(["0", "1", "2", "3"]);
  });
});

describe("the GPU of a worker", () => {
  it("begins with the one that --device names", () => {
    const device = (localRank: number) =>
      workerEnvironment({ ...place, device: "cuda:3", localRank })["CUDA_VISIBLE_DEVICES"];
    expect([device(0), device(1)]).toEqual(["3", "4"]);
  });
});

describe("threadsPerWorker", () => {
  it("never oversubscribes a host, and never leaves a worker without a thread", () => {
    expect(threadsPerWorker(64, 8)).toBe(8);
    expect(threadsPerWorker(2, 16)).toBe(1);
    expect(threadsPerWorker(7, 2)).toBe(3);
  });
});
