import { describeFiles } from "../cli/describeRun.ts";
import { reachRun } from "../cli/reachRun.ts";
import { readable, type SelectedRun } from "../cli/selectRun.ts";
import type { StatusDocument } from "../observe/renderStatus.ts";
import { statusDocument } from "../observe/renderStatus.ts";
import { findRun } from "../runs/findRun.ts";
import { type LiveChange, openRunClient, type RunClient } from "../runs/runClient.ts";
import { runLiveness } from "../runs/runLiveness.ts";

/** A run as the dashboard sees and steers it. */
export interface RunAccess extends Steering {
  readonly selected: SelectedRun;
  status(): Promise<StatusDocument>;
  close(): void;
}

/** What may be asked of a run that goes on. */
export interface Steering {
  stop(now: boolean): Promise<void>;
  saveCheckpoint(): Promise<number>;
  set(change: LiveChange): Promise<unknown>;
}

/** The dashboard's own run, where it is served by the run's coordinator. */
export interface OwnRun extends Steering {
  readonly runId: string;
  status(): StatusDocument;
}

/** Milliseconds that a coordinator has to answer before the run is shown as its files have it. */
const answerMs = 3000;

/** Opens a run of this host by its id. Throws RUN_NOT_FOUND, and STORAGE_FAILED where its settings cannot be read. */
export async function openRun(home: string, runId: string, own: OwnRun | undefined): Promise<RunAccess> {
  const selected = readable(await findRun(home, runId));
  if (own?.runId !== selected.runId) return new OtherRun(selected);
  return {
    selected,
    status: async () => own.status(),
    stop: (now) => own.stop(now),
    saveCheckpoint: () => own.saveCheckpoint(),
    set: (change) => own.set(change),
    close() {},
  };
}

/** A run of another process: asked over gRPC while it goes on, read from its files otherwise. */
class OtherRun implements RunAccess {
  #client: RunClient | undefined;

  constructor(readonly selected: SelectedRun) {}

  async status(): Promise<StatusDocument> {
    const liveness = await runLiveness(this.selected.directory);
    if (liveness === "live") {
      try {
        return statusDocument(await (await this.#reach()).getStatus(AbortSignal.timeout(answerMs)));
      } catch {
        // It may have just ended or be coming back on another port: ask anew next time.
        this.close();
      }
    }
    return describeFiles(this.selected, liveness);
  }

  async stop(now: boolean): Promise<void> {
    await (await this.#reach()).stop(now);
  }

  async saveCheckpoint(): Promise<number> {
    return (await this.#reach()).saveCheckpoint();
  }

  async set(change: LiveChange): Promise<unknown> {
    return (await this.#reach()).set(change);
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async #reach(): Promise<RunClient> {
    this.#client ??= openRunClient(await reachRun(this.selected));
    return this.#client;
  }
}
