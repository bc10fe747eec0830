import type { FollowedRun } from "../observe/followRun.ts";
import type { RunClient } from "../runs/runClient.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import { runLiveness } from "../runs/runLiveness.ts";

/** A run as its coordinator and its files show it. */
export function followedRun(client: RunClient, directory: RunDirectory): FollowedRun {
  return {
    watch: (from, signal) => client.watch(from, signal),
    stop: (now) => client.stop(now),
    hasResult: async () => (await directory.readResult()) !== undefined,
    isAlive: async () => goesOn(await runLiveness(directory)),
  };
}

/** True while a coordinator lives, or is about to. */
export function goesOn(liveness: Awaited<ReturnType<typeof runLiveness>>): boolean {
  return liveness === "live" || liveness === "starting";
}
