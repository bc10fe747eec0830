import { hostname } from "node:os";
import { z } from "zod";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { readJsonFile, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import type { TlsIdentity } from "../server.ts";
import { readAssets } from "./assets.ts";
import { type DashboardOptions, DashboardServer } from "./dashboardServer.ts";

export interface ServedDashboard {
  readonly url: string;
  close(): Promise<void>;
}

type Place = Pick<RunConfig, "advertise" | "dashboardListen" | "dashboardPort">;

/** dashboard.json of a run: where its page is, so that a coordinator that comes back takes the same port. */
const dashboardFileSchema = z.object({ url: z.string(), port: z.int() });

/** Serves the dashboard where the settings say. Throws PORT_UNAVAILABLE for a port that is taken. */
export async function serveDashboard(
  config: Place,
  options: Pick<DashboardOptions, "home" | "metrics" | "own" | "runId"> & { readonly tls?: TlsIdentity | undefined },
  portBefore?: number,
): Promise<ServedDashboard & { readonly port: number }> {
  const { advertise, dashboardListen: listen, dashboardPort } = config;
  const names = [hostname(), ...(advertise === undefined ? [] : [advertise])];
  const assets = await readAssets();
  const bind = async (port: number) => {
    const server = new DashboardServer({ ...options, assets, listen, names });
    return { server, port: await server.listen(port) };
  };
  const wanted = dashboardPort === 0 ? (portBefore ?? 0) : dashboardPort;
  const { port, server } = await bind(wanted)
    .catch((thrown: unknown) => {
      if (dashboardPort === 0 && wanted !== 0) return bind(0);
      throw thrown;
    })
    .catch((thrown: NodeJS.ErrnoException) => {
      if (thrown instanceof CoordError) throw thrown;
      const why = thrown.code === "EADDRINUSE" ? "is taken" : `cannot be bound (${thrown.code ?? thrown.message})`;
      throw new CoordError(
        "PORT_UNAVAILABLE",
        `The dashboard's address ${listen}:${wanted} ${why}; give another --dashboard-port, or 0 for any.`,
        { cause: thrown },
      );
    });
  const anywhere = listen === "0.0.0.0" || listen === "::";
  const host = anywhere ? (advertise ?? hostname()) : listen;
  const url = `${options.tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}/`;
  return { url, port, close: () => server.close() };
}

/** Serves the dashboard of a run that goes on, on the port that an earlier coordinator of it had where that is free. */
export async function serveRunDashboard(
  directory: RunDirectory,
  config: Place,
  options: Pick<DashboardOptions, "metrics" | "own"> & { readonly tls?: TlsIdentity | undefined },
): Promise<ServedDashboard> {
  const { home, paths, runId } = directory;
  const before = await readJsonFile(paths.dashboard, dashboardFileSchema).catch(() => undefined);
  const served = await serveDashboard(config, { ...options, home, runId }, before?.port);
  const file = { url: served.url, port: served.port };
  await writeFileAtomic(paths.dashboard, `${JSON.stringify(file)}\n`, { mode: 0o600 });
  return served;
}
