import { firstRankOf } from "../../shared/config/hosts.ts";

/** What the environment of a worker depends on. */
export interface WorkerPlace {
  readonly runId: string;
  readonly nodeRank: number;
  readonly localRank: number;
  /** Workers of each node, by node rank. */
  readonly gpus: readonly number[];
  readonly attempt: number;
  readonly threads: number;
  readonly masterAddress: string;
  readonly masterPort: number;
  /** True when all nodes are simulated on one host and share its GPUs. */
  readonly sharedHost: boolean;
  /** `--device`: cuda:2 leaves out the first two GPUs. */
  readonly device: string;
}

/** Environment of a worker, with torchrun's names; RANK and WORLD_SIZE are those of the full membership. */
export function workerEnvironment(place: WorkerPlace): Record<string, string> {
  const { gpus, localRank, nodeRank } = place;
  const rank = firstRankOf(gpus, nodeRank) + localRank;
  // Simulated nodes share the host's GPUs, so the places are spread over all of them.
  const index = (place.sharedHost ? rank : localRank) + Number(place.device.split(":")[1] ?? 0);
  return {
    RANK: String(rank),
    LOCAL_RANK: String(localRank),
    NODE_RANK: String(nodeRank),
    GROUP_RANK: String(nodeRank),
    WORLD_SIZE: String(firstRankOf(gpus, gpus.length)),
    LOCAL_WORLD_SIZE: String(gpus[nodeRank]),
    MASTER_ADDR: place.masterAddress,
    MASTER_PORT: String(place.masterPort),
    // Which of the GPUs that the agent may use; the agent knows them by name.
    CUDA_VISIBLE_DEVICES: String(index),
    OMP_NUM_THREADS: String(place.threads),
    TF_NUM_INTRAOP_THREADS: String(place.threads),
    TF_NUM_INTEROP_THREADS: "1",
    // TensorFlow else takes all of a GPU's memory, and reports each library that it does not find.
    TF_FORCE_GPU_ALLOW_GROWTH: "true",
    TF_CPP_MIN_LOG_LEVEL: "1",
    COORD_RUN_ID: place.runId,
    COORD_ATTEMPT: String(place.attempt),
  };
}

/** Compute threads of each worker, so that the workers of a host share its processors and never oversubscribe them. */
export function threadsPerWorker(processors: number, workersOnHost: number): number {
  return Math.max(1, Math.floor(processors / workersOnHost));
}
