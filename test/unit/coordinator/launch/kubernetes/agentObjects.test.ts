import { describe, expect, it } from "vitest";
import { agentObjects } from "../../../../../coordinator/launch/kubernetes/agentObjects.ts";
import { judgeJob } from "../../../../../coordinator/launch/kubernetes/judgeJob.ts";
import { readWorkerJob } from "../../../../../coordinator/launch/kubernetes/readWorkerJob.ts";

async function objects(config: object = {}) {
  const [secret, job] = agentObjects({
    base: await readWorkerJob(),
    runId: "20261120-2154-k3f9",
    config: {
      ...{ nodes: 3, gpus: 2, threadsPerWorker: 4, reconnectBudgetMs: 60_000 },
      ...{ kubeImage: "registry.example.com/coord:1", kubeGpuResource: undefined, kubeVolume: [] },
      ...config,
    } as Parameters<typeof agentObjects>[0]["config"],
    address: "10.0.0.5:29400",
    credentials: "a secret",
    environment: { HF_HOME: "/models/hub" },
  });
  // biome-ignore lint/suspicious/noExplicitAny: an object of the cluster's API
  return { secret: secret as any, job: job as any };
}

describe("the objects of a run's agents", () => {
  it("are one pod per node, numbered, that joins the coordinator with the node's number", async () => {
    const { job } = await objects();
    expect(job.spec).toMatchObject({ completionMode: "Indexed", completions: 3, parallelism: 3 });
    const [agent] = job.spec.template.spec.containers;
    expect(agent.args).toEqual(["agent", "--join", "10.0.0.5:29400", "--node-rank", "$(JOB_COMPLETION_INDEX)"]);
    expect(agent.env).toContainEqual({ name: "COORD_RUN_ID", value: "20261120-2154-k3f9" });
    expect(agent.env).toContainEqual({ name: "HF_HOME", value: "/models/hub" });
    expect(agent.resources).toMatchObject({ requests: { cpu: 8 }, limits: { cpu: 8 } });
  });

  it("carry the credentials in a secret of the run's name, and nowhere else", async () => {
    const { job, secret } = await objects();
    expect(Buffer.from(secret.data.token, "base64").toString()).toBe("a secret");
    const volume = job.spec.template.spec.volumes.find(({ name }: { name: string }) => name === "token");
    expect(volume.secret).toEqual({ secretName: secret.metadata.name, defaultMode: 0o440 });
    expect(JSON.stringify(job)).not.toContain("a secret");
  });

  it("can all be found by the run's id", async () => {
    const { job, secret } = await objects();
    for (const { metadata } of [job, secret, job.spec.template]) {
      expect(metadata.labels).toMatchObject({
        "app.kubernetes.io/managed-by": "coord",
        "app.kubernetes.io/instance": "20261120-2154-k3f9",
      });
    }
  });

  it("ask for a GPU per worker, and bear its nodes' taint, only where a resource is named", async () => {
    const { limits } = (await objects()).job.spec.template.spec.containers[0].resources;
    expect(limits["nvidia.com/gpu"]).toBeUndefined();
    const { job } = await objects({ kubeGpuResource: "nvidia.com/gpu" });
    expect(job.spec.template.spec.containers[0].resources.limits["nvidia.com/gpu"]).toBe(2);
    expect(job.spec.template.spec.tolerations).toEqual([
      { key: "nvidia.com/gpu", operator: "Exists", effect: "NoSchedule" },
    ]);
  });

  it("mount the claims that are named, for reading", async () => {
    const { job } = await objects({ kubeVolume: ["models:/models"] });
    const { containers, volumes } = job.spec.template.spec;
    expect(volumes).toContainEqual({
      name: "volume-0",
      persistentVolumeClaim: { claimName: "models", readOnly: true },
    });
    expect(containers[0].volumeMounts).toContainEqual({ name: "volume-0", mountPath: "/models", readOnly: true });
  });

  it("keep the restrictions of the base's pods", async () => {
    const { job } = await objects();
    expect(job.spec.template.spec.securityContext).toMatchObject({ runAsNonRoot: true });
    expect(job.spec.template.spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });
});

describe("what kubectl says of a run's job", () => {
  const answer = (status: object) => ({ exitCode: 0, stdout: JSON.stringify({ status }) });

  it.each([
    ["goes on while no condition is there", answer({ active: 2 }), "going on"],
    ["goes on while it is only suspended", answer({ conditions: [{ type: "Suspended", status: "True" }] }), "going on"],
    ["has ended when it is complete", answer({ conditions: [{ type: "Complete", status: "True" }] }), "ended"],
    ["has ended when it is given up", answer({ conditions: [{ type: "Failed", status: "True" }] }), "ended"],
    ["is missing when nothing is printed", { exitCode: 0, stdout: "" }, "missing"],
    ["is unknown when kubectl fails", { exitCode: 1, stdout: "" }, "unknown"],
  ] as const)("means that it %s", (_, printed, expected) => {
    expect(judgeJob(printed)).toBe(expected);
  });
});
