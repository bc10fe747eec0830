import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { commandTable } from "../../../../coordinator/cli/commandTable.ts";
import { resolveConfig } from "../../../../shared/config/resolve.ts";
import {
  baseDirectory,
  type Container,
  coordinatorJob,
  type Job,
  kustomization,
  overlaysDirectory,
  readBase,
  workerJob,
  yamlFiles,
} from "../../../support/manifests.ts";

const jobs: readonly (readonly [string, () => Job])[] = [
  ["coordinator", coordinatorJob],
  ["worker", workerJob],
];

const generated = () => {
  const { configMapGenerator, secretGenerator } = kustomization();
  return [...configMapGenerator, ...secretGenerator];
};

/** What the coordinator makes of its pod's environment and coord.yaml. */
function runConfig() {
  const { env } = onlyContainer(coordinatorJob());
  const literals = generated().flatMap(({ literals }) => literals ?? []);
  const environment = Object.fromEntries([
    ...literals.map((literal) => literal.split("=") as [string, string]),
    ...env.map(({ name, value }) => [name, value] as const),
  ]);
  const file = { name: "coord.yaml", values: readBase<Record<string, unknown>>("coord.yaml") };
  return resolveConfig({ environment, file }).config;
}

function onlyContainer(job: Job): Container {
  const { containers, initContainers } = job.spec.template.spec;
  expect(containers).toHaveLength(1);
  expect(initContainers).toBeUndefined();
  return containers[0]!;
}

describe("the kustomization", () => {
  it("lists every file of its directory, and every file it lists is there", () => {
    const { resources } = kustomization();
    const files = generated().flatMap((generator) => generator.files ?? []);
    const committed = files.filter((file) => !file.startsWith("secrets/"));
    expect([...resources, ...committed, "kustomization.yaml"].sort()).toEqual(yamlFiles(baseDirectory).sort());
  });

  it("gives the image of every container", () => {
    const images = kustomization().images.map(({ name }) => name);
    for (const [, read] of jobs) expect(images).toContain(onlyContainer(read()).image);
  });

  it("has overlays whose resources and patches are there", () => {
    for (const overlay of readdirSync(overlaysDirectory)) {
      const directory = join(overlaysDirectory, overlay);
      const { resources, patches } = parse(readFileSync(join(directory, "kustomization.yaml"), "utf8"));
      for (const path of [...resources, ...patches.map((patch: { path: string }) => patch.path)]) {
        expect(existsSync(join(directory, path)), `${overlay}: ${path}`).toBe(true);
      }
    }
  });

  it("patches a job and container that exist in the GPU overlay", () => {
    const patch: Job = parse(readFileSync(join(overlaysDirectory, "gpu", "workerGpu.yaml"), "utf8"));
    expect(patch.metadata).toMatchObject({ name: workerJob().metadata.name, namespace: kustomization().namespace });
    const [container] = patch.spec.template.spec.containers;
    expect(container!.name).toBe(onlyContainer(workerJob()).name);
    expect(container!.resources.limits["nvidia.com/gpu"]).toBe(runConfig().gpus);
  });
});

describe("coord.yaml of the base", () => {
  it("is a valid configuration together with the coordinator's environment", () => {
    expect(runConfig()).toMatchObject({ launcher: "none", listen: "0.0.0.0", insecure: false });
  });

  it("asks for as many nodes as the worker job has pods, and for no more threads than a pod may use", () => {
    const { nodes, gpus, threadsPerWorker } = runConfig();
    const { completionMode, completions, parallelism } = workerJob().spec;
    expect({ completionMode, completions, parallelism }).toEqual({
      completionMode: "Indexed",
      completions: nodes,
      parallelism: nodes,
    });
    expect(threadsPerWorker * gpus).toBe(Number(onlyContainer(workerJob()).resources.limits["cpu"]));
  });

  it("listens on the service's port, under the name that agents join", () => {
    const { advertise, masterPort } = runConfig();
    const service = readBase<{
      metadata: { name: string };
      spec: { clusterIP: string; selector: Record<string, string>; ports: { port: number; targetPort: string }[] };
    }>("service.yaml");
    expect(service.metadata.name).toBe(advertise);
    expect(service.spec.clusterIP).toBe("None");
    expect(service.spec.ports).toMatchObject([{ port: masterPort, targetPort: "grpc" }]);
    expect(onlyContainer(coordinatorJob()).ports).toMatchObject([{ name: "grpc", containerPort: masterPort }]);
    const { args } = onlyContainer(workerJob());
    expect(args[args.indexOf("--join") + 1]).toBe(`${advertise}:${masterPort}`);
    expect(coordinatorJob().spec.template.metadata.labels).toMatchObject(service.spec.selector);
    expect(workerJob().spec.template.metadata.labels).not.toMatchObject(service.spec.selector);
  });

  it("names files and directories that are mounted into the coordinator", () => {
    const mounts = onlyContainer(coordinatorJob()).volumeMounts.map(({ mountPath }) => mountPath);
    const { output, tlsCa, tlsCert, tlsKey } = runConfig();
    for (const path of [output, tlsCa!, tlsCert!, tlsKey!]) {
      expect(
        mounts.some((mount) => path.startsWith(`${mount}/`)),
        path,
      ).toBe(true);
    }
  });

  it("writes output and the run's directory to the volume that outlives the pod", () => {
    const { spec } = coordinatorJob().spec.template;
    const claim = readBase<{ metadata: { name: string } }>("persistentVolumeClaim.yaml").metadata.name;
    const volume = spec.volumes.find(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === claim)!;
    const [container] = spec.containers;
    const { mountPath } = container!.volumeMounts.find(({ name }) => name === volume.name)!;
    const home = container!.env.find(({ name }) => name === "COORD_HOME")!.value;
    expect(runConfig().output.startsWith(`${mountPath}/`)).toBe(true);
    expect(home.startsWith(`${mountPath}/`)).toBe(true);
  });
});

describe.each(jobs)("the %s job", (_, read) => {
  it("runs a command with flags that exist", async () => {
    const { args, command } = onlyContainer(read());
    expect(command, "the image's entry point is coord").toBeUndefined();
    const entry = commandTable[args[0]!];
    expect(entry, `coord ${args[0]}`).toBeDefined();
    const { options } = await entry!.load();
    for (const flag of args.filter((argument) => argument.startsWith("--"))) {
      expect(Object.keys(options)).toContain(flag.slice(2));
    }
  });

  it("sets only variables that the program reads", () => {
    const sources = ["worker/environment.ts", "shared/config/resolve.ts", "shared/runPaths.ts"].map((path) =>
      readFileSync(join(baseDirectory, "../../..", path), "utf8"),
    );
    for (const { name } of onlyContainer(read()).env) expect(sources.join("\n")).toContain(`"${name}"`);
  });

  it("gets the run's id and token the same way as the other side", () => {
    const { env, envFrom } = onlyContainer(read());
    expect(envFrom).toEqual([{ configMapRef: { name: "coord-run" } }]);
    expect(env).toContainEqual({ name: "COORD_TOKEN_FILE", value: "/etc/coord/token/token" });
    expect(JSON.stringify(generated().find(({ name }) => name === "coord-run"))).toContain("COORD_RUN_ID=");
  });

  it("mounts volumes that it has, made from objects that exist", () => {
    const { spec } = read().spec.template;
    const { volumeMounts } = onlyContainer(read());
    const names = spec.volumes.map(({ name }) => name);
    expect(volumeMounts.map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const { configMap, secret } of spec.volumes) {
      const name = configMap?.name ?? secret?.secretName;
      if (name !== undefined) expect(generated().map((generator) => generator.name)).toContain(name);
    }
    expect(spec.serviceAccountName).toBe(readBase<{ metadata: { name: string } }>("serviceAccount.yaml").metadata.name);
  });

  it("meets the restricted Pod Security Standard and writes to volumes alone", () => {
    const { spec } = read().spec.template;
    expect(spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 1000,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect([spec.hostNetwork, spec.hostPID, spec.hostIPC]).toEqual([undefined, undefined, undefined]);
    expect(onlyContainer(read()).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    for (const { name, ...source } of spec.volumes) {
      expect(["configMap", "emptyDir", "persistentVolumeClaim", "secret"], name).toContain(Object.keys(source)[0]);
    }
    expect(onlyContainer(read()).volumeMounts.map(({ mountPath }) => mountPath)).toContain("/tmp");
  });

  it("has no access to the cluster's API and no service variables that look like settings", () => {
    const { automountServiceAccountToken, enableServiceLinks } = read().spec.template.spec;
    expect({ automountServiceAccountToken, enableServiceLinks }).toEqual({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
    });
  });

  it("asks for processors and memory, is limited in memory, and has time to end", () => {
    const { resources } = onlyContainer(read());
    expect(Object.keys(resources.requests).sort()).toEqual(["cpu", "memory"]);
    expect(Object.keys(resources.limits)).toContain("memory");
    expect(read().spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(60);
  });

  it("gives up at once on a wrong configuration, but neither for a lost node nor for what is worth retrying", () => {
    const { podFailurePolicy, podReplacementPolicy, template } = read().spec;
    expect(template.spec.restartPolicy).toBe("Never");
    expect(podReplacementPolicy).toBe("Failed");
    expect(podFailurePolicy.rules[0]).toEqual({
      action: "Ignore",
      onPodConditions: [{ type: "DisruptionTarget", status: "True" }],
    });
    const [, fail] = podFailurePolicy.rules as [object, { action: string; onExitCodes: { values: number[] } }];
    expect(fail).toMatchObject({ action: "FailJob", onExitCodes: { containerName: onlyContainer(read()).name } });
    expect(fail.onExitCodes.values).toContain(2);
    for (const code of [3, 75, 137]) expect(fail.onExitCodes.values).not.toContain(code);
  });
});

describe("the pods", () => {
  it("give the coordinator's private key to the coordinator alone", () => {
    const secrets = (job: Job) => job.spec.template.spec.volumes.flatMap(({ secret }) => secret?.secretName ?? []);
    expect(secrets(coordinatorJob()).sort()).toEqual(["coord-tls", "coord-token"]);
    expect(secrets(workerJob())).toEqual(["coord-token"]);
  });

  it("give workers a shared memory of their own and their place from the job's index", () => {
    const { volumes } = workerJob().spec.template.spec;
    const { args, volumeMounts } = onlyContainer(workerJob());
    const shm = volumeMounts.find(({ mountPath }) => mountPath === "/dev/shm")!;
    expect(volumes.find(({ name }) => name === shm.name)?.emptyDir?.medium).toBe("Memory");
    expect(args[args.indexOf("--node-rank") + 1]).toBe("$(JOB_COMPLETION_INDEX)");
  });

  it("probe the coordinator's port without gRPC, which the kubelet speaks only in the clear", () => {
    const { livenessProbe, readinessProbe, startupProbe } = onlyContainer(coordinatorJob());
    expect(startupProbe).toMatchObject({ tcpSocket: { port: "grpc" } });
    expect(readinessProbe).toMatchObject({ tcpSocket: { port: "grpc" } });
    expect(livenessProbe).toBeUndefined();
  });
});

const openssl = (() => {
  try {
    return execFileSync("openssl", ["version"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
})();

describe.skipIf(openssl === undefined)("make-secrets.sh (needs openssl)", () => {
  const directory = mkdtempSync(join(tmpdir(), "coord-secrets-"));
  const script = join(baseDirectory, "..", "make-secrets.sh");
  beforeAll(() => void execFileSync("sh", [script, directory]));
  afterAll(() => rmSync(directory, { recursive: true }));

  it("makes exactly the files that the kustomization reads, for the owner's eyes alone", () => {
    const wanted = generated().flatMap(({ files }) => (files ?? []).filter((file) => file.startsWith("secrets/")));
    expect(readdirSync(directory).sort()).toEqual(wanted.map((file) => file.slice("secrets/".length)).sort());
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o077, name).toBe(0);
  });

  it("makes a token of 32 bytes without a line end", () => {
    expect(readFileSync(join(directory, "token"), "utf8")).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it("makes a certificate that the authority signed for the name that agents join", () => {
    const verify = ["verify", "-CAfile", join(directory, "ca.crt"), "-purpose", "sslserver"];
    const name = ["-verify_hostname", runConfig().advertise!, join(directory, "tls.crt")];
    expect(execFileSync("openssl", [...verify, ...name], { encoding: "utf8" })).toContain(": OK");
  });

  it("refuses to replace what is there", () => {
    const before = readFileSync(join(directory, "token"), "utf8");
    expect(() => execFileSync("sh", [script, directory], { stdio: "pipe" })).toThrow("is there already");
    expect(readFileSync(join(directory, "token"), "utf8")).toBe(before);
  });
});
