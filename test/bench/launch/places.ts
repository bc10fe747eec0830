import type { CoordHome } from "../../support/coord.ts";
import { namespace, TestCluster, whyNoCluster } from "../../support/kubernetes/testCluster.ts";
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

async function openCluster(home: CoordHome, shape: readonly string[]): Promise<LaunchPlace> {
  const cluster = await TestCluster.start(home);
  cluster.plane.kubectl("create", "namespace", namespace);
  return { name: "k8s", flags: [...cluster.flags, ...shape], env: cluster.env, close: () => cluster.stop() };
}
