import type { RunConfig } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";
import { kubectl, kubectlProblem } from "./kubectl.ts";

const needed = ["create jobs.batch", "delete jobs.batch", "get jobs.batch", "create secrets", "delete secrets"];

/** Asks the cluster whether a run's agents may be started there. Throws PREFLIGHT_REFUSED with every reason against it. */
export async function checkCluster(config: RunConfig, signal: AbortSignal): Promise<void> {
  const answers = await Promise.all(
    needed.map(async (right) => ({
      right,
      answer: await kubectl(config, ["auth", "can-i", ...right.split(" ")], { signal }),
    })),
  );
  signal.throwIfAborted();
  // "no" is an answer; anything else on standard output is none.
  const unanswered = answers.find(({ answer }) => !["yes", "no"].includes(answer.stdout.trim()));
  if (unanswered) {
    throw new CoordError("PREFLIGHT_REFUSED", `The cluster cannot be asked: ${kubectlProblem(unanswered.answer)}`);
  }
  const denied = answers.filter(({ answer }) => answer.stdout.trim() === "no").map(({ right }) => right);
  if (denied.length > 0) {
    const where = config.kubeNamespace === undefined ? "the current namespace" : `namespace ${config.kubeNamespace}`;
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      `In ${where} you may not ${denied.join(", ")}; ask for these rights, or choose with --kube-namespace.`,
    );
  }
}
