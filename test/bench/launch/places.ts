import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import type { CoordHome } from "../../support/coord.ts";
import { ControlPlane, controlPlanePrograms } from "../../support/kubernetes/controlPlane.ts";
import { LocalKubelet } from "../../support/kubernetes/localKubelet.ts";
import { TestHosts, whyNoHosts } from "../../support/testHosts.ts";
import { TestSlurm, whyNoSlurm } from "../../support/testSlurm.ts";

/** Somewhere to launch to. */
export interface LaunchPlace {
  readonly name: string;
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void> | void;
}

/** What a launcher needs is made on this host; `onSkip` gets the reason where it cannot be. */
export async function openPlaces(
  home: CoordHome,
  gpus: number,
  onSkip: (line: string) => void,
): Promise<LaunchPlace[]> {
  const places: LaunchPlace[] = [];
  const add = async (name: string, why: string | undefined, open: () => Promise<LaunchPlace> | LaunchPlace) => {
    if (why === undefined) places.push(await open());
    else onSkip(`SKIPPED ${name}: ${why}`);
  };
  const shape = ["--nodes", "2", "--gpus", String(gpus)];
  try {
    places.push({ name: "local", flags: shape, env: {}, close: () => {} });
    await add("ssh", whyNoHosts(), () => {
      const hosts = TestHosts.up(home.path("hosts"), 2);
      return { name: "ssh", flags: hosts.flags(gpus, gpus), env: {}, close: () => hosts.down() };
    });
    await add("slurm", whyNoSlurm(), () => {
      const slurm = TestSlurm.up(home.path("slurm"));
      const flags = ["--launcher", "slurm", ...shape, "--partition", "debug"];
      return { name: "slurm", flags, env: slurm.env, close: () => slurm.down() };
    });
    await add("k8s", whyNoCluster(), () => openCluster(home, shape));
  } catch (thrown) {
    await closePlaces(places);
    throw thrown;
  }
  return places;
}

export async function closePlaces(places: readonly LaunchPlace[]): Promise<void> {
  for (const place of places) await place.close();
}

function whyNoCluster(): string | undefined {
  if (controlPlanePrograms() === undefined) return "COORD_KUBERNETES_BIN names no control plane";
  return process.getuid?.() === 0 ? undefined : "needs root";
}

async function openCluster(home: CoordHome, shape: readonly string[]): Promise<LaunchPlace> {
  const bin = controlPlanePrograms()!;
  mkdirSync(home.path("plane"), { recursive: true });
  const plane = await ControlPlane.start({ bin, directory: home.path("plane") });
  const kubelet = new LocalKubelet({
    api: plane.api,
    directory: home.path("kubelet"),
    nodes: ["node-a", "node-b"],
    entryPoint: [process.execPath, join(packageRoot(), "dist", "coordinator", "cli", "main.js")],
  });
  await kubelet.start();
  plane.kubectl("create", "namespace", "coord");
  const where = ["--launcher", "k8s", "--kube-namespace", "coord", "--kube-image", "coord:bench"];
  return {
    name: "k8s",
    flags: [...where, ...shape, "--listen", "0.0.0.0", "--advertise", kubelet.hostAddress],
    env: { KUBECONFIG: plane.kubeconfig, PATH: `${bin}:${process.env["PATH"]}` },
    async close() {
      await kubelet.stop();
      await plane.stop();
    },
  };
}
