import { create } from "@bufbuild/protobuf";
import { systemClock } from "../../shared/clock.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { isLoopback } from "../../shared/config/tlsMode.ts";
import { toCoordError } from "../../shared/errors.ts";
import { RunStatusSchema } from "../../shared/gen/coord/v1/run_pb.ts";
import type { EventLog } from "../observe/eventLog.ts";
import { statusDocument } from "../observe/renderStatus.ts";
import type { RunMonitor } from "../observe/runMonitor.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import type { TlsIdentity } from "../server.ts";

/** The web page of a coordinator's own run. */
export interface RunPage {
  /** Gives those who watch a moment to see the end. */
  close(graceMs: number): Promise<void>;
}

const noPage: RunPage = { close: async () => {} };

/**
 * Serves --dashboard for as long as the coordinator lives. A page that cannot be served is a warning: training goes on.
 * Loaded only where it is asked for.
 */
export async function openRunPage(
  directory: RunDirectory,
  config: RunConfig,
  monitor: RunMonitor,
  events: EventLog,
  tls: TlsIdentity | undefined,
): Promise<RunPage> {
  if (!config.dashboard) return noPage;
  try {
    const { serveRunDashboard } = await import("./serveDashboard.ts");
    const { RunMetrics } = await import("../observe/prometheus/runMetrics.ts");
    const status = () => statusDocument(create(RunStatusSchema, monitor.status()));
    const metrics = new RunMetrics(directory.runId, status);
    const unfollow = events.follow(0, (event) => metrics.add(event));
    const own = {
      runId: directory.runId,
      status,
      stop: async (now: boolean) => monitor.stop(now),
      saveCheckpoint: async () => monitor.saveCheckpoint(),
      set: async (change: { saveSteps?: number; logLevel?: string }) => monitor.set(change),
    };
    // A browser on this host does not know the run's own authority, and needs it no more than the commands do.
    const secured = isLoopback(config.dashboardListen) ? undefined : tls;
    const served = await serveRunDashboard(directory, config, { own, metrics: () => metrics.text(), tls: secured });
    events.add("state", `Dashboard: ${served.url}`, { dashboard: served.url });
    return {
      async close(graceMs) {
        await systemClock.sleep(Math.min(graceMs, lastLookMs));
        unfollow();
        await served.close();
      },
    };
  } catch (thrown) {
    events.add("warning", `There is no dashboard: ${toCoordError(thrown).message}`);
    return noPage;
  }
}

/** Longer than a page's poll. */
const lastLookMs = 1200;
