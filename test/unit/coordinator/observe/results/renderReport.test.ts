import { expect, it } from "vitest";
import type { EventKind, RunEvent } from "../../../../../coordinator/observe/eventLog.ts";
import { renderReport } from "../../../../../coordinator/observe/results/renderReport.ts";

const event = (kind: EventKind, message: string, data: Record<string, unknown> = {}): RunEvent => ({
  ...{ sequence: 1, timeMs: 0, kind, message, data },
});
const report = (...events: RunEvent[]) =>
  renderReport({ runId: "r1", createdAtMs: 0, state: "failed", reason: "It failed.", config: { seed: 42 }, events });

it("shows the first failure with its last lines, and everything from a run as text", () => {
  const html = report(
    event("step", "Step 1.", { step: 1, loss: 2, stepMs: 5, epoch: 1, inputTokens: 3 }),
    event("error", "Rank 1 <b>died</b>.", { code: "WORKER_FAILED", worker: "rank 1", lastLines: "<script>x</script>" }),
    event("error", "A consequence."),
  );
  expect(html).toContain("Root cause (first observed failure)</h2><p>Rank 1 &lt;b&gt;died&lt;/b&gt;.</p>");
  expect(html).toContain("<pre>&lt;script&gt;x&lt;/script&gt;</pre>");
  expect(html).toContain("WORKER_FAILED");
  expect(html).toContain("<svg");
  expect(html).not.toMatch(/<script|(src|href)=/);
});

it("does not take the failure of an earlier life of the run for this one's", () => {
  const html = report(event("error", "Long ago."), event("state", "Preparing.", { state: "preparing" }));
  expect(html).not.toContain("Root cause");
  expect(html).toContain("No step was taken.");
});
