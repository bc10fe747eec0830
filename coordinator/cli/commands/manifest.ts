import { stringify } from "yaml";
import { flagOptions } from "../../../shared/config/flags.ts";
import { CoordError } from "../../../shared/errors.ts";
import { givenVariables } from "../../launch/givenVariables.ts";
import { agentObjects } from "../../launch/kubernetes/agentObjects.ts";
import { readWorkerJob } from "../../launch/kubernetes/readWorkerJob.ts";
import { pinConfig } from "../../launch/pinConfig.ts";
import type { Command } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";

/** What stands where only a run's start knows better. */
const runId = "run-id";
const port = "PORT";

export const manifestCommand: Command = {
  usage: "manifest",
  describe: "Print the Kubernetes objects that `coord launch --launcher k8s` would create, without the credentials.",
  options: {
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    ...flagOptions(),
  },
  examples: [["coord manifest --nodes 2 --kube-image IMAGE", "Print the Secret and the Job of two agents"]],
  async run(values, context) {
    const { config: given, sources } = await loadConfig({ ...values, launcher: "k8s" }, context);
    const config = pinConfig(given, sources);
    if (config.kubeImage === undefined) throw new CoordError("CONFIG_INVALID", "Give --kube-image, the pods' image.");
    const objects = agentObjects({
      base: await readWorkerJob(),
      runId,
      config,
      address: `${config.advertise ?? config.listen}:${config.masterPort || port}`,
      credentials: "",
      environment: givenVariables(config, context.environment),
    });
    context.stdout.write(objects.map((object) => stringify(object, { lineWidth: 0 })).join("---\n"));
    return 0;
  },
};
