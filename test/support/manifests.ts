import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { packageRoot } from "../../shared/process/packageRoot.ts";

export const baseDirectory = join(packageRoot(), "deploy", "k8s", "base");
export const overlaysDirectory = join(packageRoot(), "deploy", "k8s", "overlays");

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly envFrom: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: object;
  readonly readinessProbe?: object;
  readonly livenessProbe?: object;
  readonly resources: { readonly requests: object; readonly limits: Readonly<Record<string, string | number>> };
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: { readonly medium?: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly configMap?: { readonly name: string };
  readonly secret?: { readonly secretName: string };
}

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly enableServiceLinks: boolean;
  readonly restartPolicy: string;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: object;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

export interface Job {
  readonly kind: "Job";
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly completionMode?: string;
    readonly completions: number;
    readonly parallelism: number;
    readonly podReplacementPolicy: string;
    readonly podFailurePolicy: { readonly rules: readonly object[] };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

interface Generator {
  readonly name: string;
  readonly files?: readonly string[];
  readonly literals?: readonly string[];
}

export interface Kustomization {
  readonly namespace: string;
  readonly resources: readonly string[];
  readonly images: readonly { readonly name: string }[];
  readonly configMapGenerator: readonly Generator[];
  readonly secretGenerator: readonly Generator[];
}

/** Parses one YAML file of the base. */
export function readBase<T>(name: string): T {
  return parse(readFileSync(join(baseDirectory, name), "utf8")) as T;
}

export const kustomization = () => readBase<Kustomization>("kustomization.yaml");
export const coordinatorJob = () => readBase<Job>("coordinator.yaml");
export const workerJob = () => readBase<Job>("worker.yaml");

/** The YAML files in a directory. */
export function yamlFiles(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith(".yaml"));
}
