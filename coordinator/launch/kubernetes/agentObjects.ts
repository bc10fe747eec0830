import type { RunConfig } from "../../../shared/config/schema.ts";

/** A Kubernetes object as it is sent to the API server. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The parts of deploy/k8s/base/worker.yaml that are filled in here; all others stay as the file has them. */
export interface WorkerJob extends KubernetesObject {
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly containers: readonly [
          {
            readonly env: readonly { readonly name: string; readonly value: string }[];
            readonly resources: { readonly requests: object; readonly limits: object };
            readonly volumeMounts: readonly { readonly name: string }[];
          },
        ];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

export interface AgentObjectsOptions {
  /** deploy/k8s/base/worker.yaml. */
  readonly base: WorkerJob;
  readonly runId: string;
  readonly config: Pick<
    RunConfig,
    "gpus" | "kubeGpuResource" | "kubeImage" | "kubeVolume" | "nodes" | "reconnectBudgetMs" | "threadsPerWorker"
  >;
  /** "host:port" of the coordinator. */
  readonly address: string;
  /** Credentials file that agents join with. */
  readonly credentials: string;
  /** Variables for agents and workers. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Name of a run's objects. */
export function objectsName(runId: string): string {
  return `coord-${runId}`;
}

/** Selects everything that a run has in a cluster. */
export function runSelector(runId: string): string {
  return `app.kubernetes.io/managed-by=coord,app.kubernetes.io/instance=${runId}`;
}

/** What has to be in a cluster for a run's agents: a Secret with their credentials and an indexed Job, a pod per node. */
export function agentObjects(options: AgentObjectsOptions): KubernetesObject[] {
  const { address, base, config, credentials, environment, runId } = options;
  const name = objectsName(runId);
  const labels = {
    "app.kubernetes.io/name": "coord",
    "app.kubernetes.io/component": "worker",
    "app.kubernetes.io/instance": runId,
    "app.kubernetes.io/managed-by": "coord",
  };
  const { template } = base.spec;
  const { spec } = template;
  const [container] = spec.containers;
  const cpu = config.threadsPerWorker * config.gpus;
  const gpu = config.kubeGpuResource === undefined ? {} : { [config.kubeGpuResource]: config.gpus };
  const claims = config.kubeVolume.map((text, index) => ({ name: `volume-${index}`, ...parseVolume(text) }));
  const agent = {
    ...container,
    image: config.kubeImage,
    args: ["agent", "--join", address, "--node-rank", "$(JOB_COMPLETION_INDEX)"],
    envFrom: [],
    env: variables({
      ...environment,
      COORD_RUN_ID: runId,
      COORD_HOME: "/var/lib/coord",
      COORD_TOKEN_FILE: "/etc/coord/token/token",
      COORD_RECONNECT_BUDGET_MS: String(config.reconnectBudgetMs),
    }),
    resources: {
      requests: { ...container.resources.requests, cpu },
      limits: { ...container.resources.limits, cpu, ...gpu },
    },
    volumeMounts: [
      ...container.volumeMounts.filter((mount) => mount.name !== "ca"),
      ...claims.map(({ name, path }) => ({ name, mountPath: path, readOnly: true })),
    ],
  };
  const volumes = [
    ...spec.volumes.filter((volume) => volume.name !== "ca" && volume.name !== "token"),
    // By number: the file's octal text is YAML's, not JSON's.
    { name: "token", secret: { secretName: name, defaultMode: 0o440 } },
    ...claims.map(({ claim, name }) => ({ name, persistentVolumeClaim: { claimName: claim, readOnly: true } })),
  ];
  const { serviceAccountName: _, ...pod } = spec as typeof spec & { serviceAccountName?: string };
  return [
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, labels },
      data: { token: Buffer.from(credentials).toString("base64") },
    },
    {
      ...base,
      metadata: { name, labels },
      spec: {
        ...base.spec,
        completions: config.nodes,
        parallelism: config.nodes,
        template: {
          metadata: { labels },
          spec: {
            ...pod,
            tolerations:
              config.kubeGpuResource === undefined
                ? []
                : [{ key: config.kubeGpuResource, operator: "Exists", effect: "NoSchedule" }],
            containers: [agent],
            volumes,
          },
        },
      },
    },
  ];
}

/** CLAIM:/path. */
function parseVolume(text: string): { claim: string; path: string } {
  const at = text.indexOf(":");
  return { claim: text.slice(0, at), path: text.slice(at + 1) };
}

function variables(values: Readonly<Record<string, string>>): { name: string; value: string }[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}
