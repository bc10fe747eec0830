import type { z } from "zod";
import { patternProblems } from "../checkpoint/loraScaling.ts";
import { columnProblems } from "../dataset/columns.ts";
import { assertNever } from "../errors.ts";
import { hostProblems } from "./hosts.ts";
import type { RunConfig } from "./schema.ts";
import type { Setting } from "./settings.ts";
import { isLoopback } from "./tlsMode.ts";

type Issue = z.core.$ZodIssue;

/** One sentence for a value that the schema refuses: the name it was given under, what is allowed, what it was. */
export function problemSentence(issue: Issue, setting: Setting, place: string, value: unknown): string {
  return `${place} ${allowed(issue, setting)}, got ${quote(value)}.`;
}

function allowed(issue: Issue, setting: Setting): string {
  if (issue.path.length > 1 && issue.code === "invalid_value") return `must be a list of ${issue.values.join(", ")}`;
  // An element of a list of any names: the only rule for one is that it is not empty.
  if (issue.path.length > 1) return issue.message.startsWith("must ") ? issue.message : "must be a list of names";
  switch (issue.code) {
    case "invalid_type":
      return `must be ${typeName(setting)}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    case "too_small":
      if (issue.origin === "array") return "must name at least one";
      if (issue.inclusive) return `must be at least ${issue.minimum}`;
      return setting.kind === "integer"
        ? `must be at least ${Number(issue.minimum) + 1}`
        : `must be greater than ${issue.minimum}`;
    case "too_big":
      return issue.inclusive ? `must be at most ${issue.maximum}` : `must be less than ${issue.maximum}`;
    default:
      return issue.message;
  }
}

function typeName(setting: Setting): string {
  switch (setting.kind) {
    case "integer":
      return "a whole number";
    case "number":
      return "a number";
    case "boolean":
      return "true or false";
    case "text":
      return "text";
    case "list":
      return "a list of names";
    default:
      return assertNever(setting.kind);
  }
}

function quote(value: unknown): string {
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
}

/** Sentences for settings that are each right and wrong together. */
export function contradictions(config: RunConfig): string[] {
  const found: string[] = [];
  if (config.portRange !== undefined) {
    const [first, last] = config.portRange.split("-").map(Number) as [number, number];
    // Ports below 1024 are the system's.
    if (first < 1024 || last > 65535 || first > last) {
      found.push(`--port-range must go upwards and lie in 1024-65535, got ${quote(config.portRange)}.`);
    }
  }
  const { maxNodes = config.nodes, minNodes = 1, nodes } = config;
  if (minNodes > nodes || maxNodes < nodes) {
    found.push(`--nodes ${nodes} must lie between --min-nodes ${minNodes} and --max-nodes ${maxNodes}.`);
  }
  const secured = config.tlsCert !== undefined && config.tlsKey !== undefined;
  if (!secured && (config.tlsCert !== undefined || config.tlsKey !== undefined)) {
    found.push("--tls-cert and --tls-key must be given together.");
  }
  if (config.dataWeights.length > 0 && config.dataWeights.length !== (config.data?.length ?? 0)) {
    found.push(
      `--data-weights must have as many numbers as --data has entries: ${config.dataWeights.length} for ${config.data?.length ?? 0}.`,
    );
  }
  if (config.augmentSynonyms !== undefined && config.augment === 0) {
    found.push("--augment-synonyms is the dictionary of --augment, which is off; give --augment 1, or leave it out.");
  }
  if (config.launcher === "k8s") found.push(...kubernetesProblems(config));
  if (config.packing && config.groupByLength) {
    found.push("--packing and --group-by-length both do away with padding; give one of them.");
  }
  if (config.earlyStoppingPatience > 0 && config.evalSteps === 0) {
    found.push("--early-stopping-patience needs --eval-steps: it counts held-out losses.");
  }
  // A hostfile has not been read yet.
  if (config.hostfile === undefined) found.push(...hostProblems(config));
  if (config.loadIn8bit && config.loadIn4bit) found.push("Give either --load-in-8bit or --load-in-4bit, not both.");
  if (config.dashboard && !isLoopback(config.dashboardListen) && !secured && !config.insecure) {
    found.push(
      `--dashboard-listen ${config.dashboardListen} is open to the network: give --tls-cert and --tls-key, or leave it ` +
        "out and reach the page with ssh -L.",
    );
  }
  if (config.engine === "tfjs" && config.device === "webgpu") {
    found.push("--device webgpu needs --engine onnx; with --engine tfjs use --device auto, cpu or cuda.");
  }
  if (config.engine === "tfjs" && (config.gradientCheckpointing || config.loadIn8bit || config.loadIn4bit)) {
    found.push("--gradient-checkpointing, --load-in-8bit and --load-in-4bit need --engine onnx.");
  }
  found.push(...patternProblems("--rank-pattern", config.rankPattern));
  found.push(...patternProblems("--alpha-pattern", config.alphaPattern));
  return [...found, ...columnProblems(config.columns)];
}

/** Pods reach this host by its address, and need an image. */
function kubernetesProblems({ advertise, kubeImage, listen }: RunConfig): string[] {
  const found: string[] = [];
  if (kubeImage === undefined) found.push("--launcher k8s needs --kube-image, the image of the agents' pods.");
  if (isLoopback(advertise ?? listen)) {
    found.push("--launcher k8s needs --listen 0.0.0.0 --advertise ADDRESS: the address at which pods reach this host.");
  }
  return found;
}
