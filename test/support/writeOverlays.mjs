// Writes the objects of deploy/k8s/overlays that are the base's two Jobs in another object: a JobSet, and a runtime of
// Kubeflow Trainer. Run it after a change of the base; a test holds the committed files against it.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";

const deploy = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "deploy", "k8s");

// Kubernetes reads YAML 1.1, where 0440 is octal.
const readJob = (name) => parse(readFileSync(join(deploy, "base", `${name}.yaml`), "utf8"), { version: "1.1" });

function replicatedJob(name, job, labels) {
  const { spec } = job;
  return { name, replicas: 1, template: { ...(labels ? { metadata: { labels } } : {}), spec } };
}

const text = (file, comment, object) => {
  const note = `# ${comment}\n# Made from ../../base by test/support/writeOverlays.mjs; change it there.\n`;
  return { path: join(deploy, "overlays", file), text: note + stringify(object, { lineWidth: 0 }) };
};

/** The files with what they should hold. */
export function overlayFiles() {
  const coordinator = readJob("coordinator");
  const worker = readJob("worker");
  const jobSet = {
    apiVersion: "jobset.x-k8s.io/v1alpha2",
    kind: "JobSet",
    metadata: { name: "coord" },
    spec: {
      successPolicy: { operator: "All", targetReplicatedJobs: ["coordinator", "worker"] },
      failurePolicy: {
        maxRestarts: 3,
        rules: [{ name: "failed", action: "FailJobSet", onJobFailureReasons: ["PodFailurePolicy"] }],
      },
      replicatedJobs: [replicatedJob("coordinator", coordinator), replicatedJob("worker", worker)],
    },
  };
  const runtime = {
    apiVersion: "trainer.kubeflow.org/v1alpha1",
    kind: "TrainingRuntime",
    metadata: { name: "coord" },
    spec: {
      mlPolicy: { numNodes: worker.spec.completions },
      template: {
        spec: {
          successPolicy: { operator: "All", targetReplicatedJobs: ["coordinator", "node"] },
          failurePolicy: jobSet.spec.failurePolicy,
          replicatedJobs: [
            replicatedJob("coordinator", coordinator),
            replicatedJob("node", renameContainer(worker, "node"), {
              "trainer.kubeflow.org/trainjob-ancestor-step": "trainer",
            }),
          ],
        },
      },
    },
  };
  return [
    text("jobset/jobSet.yaml", "Both Jobs as one object: they start, fail and end together.", jobSet),
    text("kubeflow-trainer/runtime.yaml", "What a TrainJob that names this runtime runs.", runtime),
  ];
}

/** Kubeflow Trainer fills in the container called `node`. */
function renameContainer(job, name) {
  const [container] = job.spec.template.spec.containers;
  const renamed = JSON.parse(JSON.stringify(job));
  renamed.spec.template.spec.containers[0].name = name;
  for (const rule of renamed.spec.podFailurePolicy.rules) {
    if (rule.onExitCodes?.containerName === container.name) rule.onExitCodes.containerName = name;
  }
  return renamed;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, text } of overlayFiles()) writeFileSync(path, text);
}
