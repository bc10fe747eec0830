import { describe, expect, it } from "vitest";
import { explainFixedPort, explainRange } from "../../../../coordinator/ports/explainPorts.ts";

const stranger = { pid: 12, command: "nginx -g daemon", runId: undefined };
const ours = { pid: 34, command: "node main.js", runId: "run-a" };

describe("explainFixedPort", () => {
  it("tells a run of ours from a stranger, and names the port", () => {
    expect(explainFixedPort({ port: 29500, holder: ours, leasedBy: undefined })).toMatch(
      /^Port 29500 is taken by coord's run run-a \(process 34\); end it with `coord stop run-a`/,
    );
    expect(explainFixedPort({ port: 29500, holder: stranger, leasedBy: undefined })).toMatch(
      /^Port 29500 is taken by process 12 \(nginx -g daemon\), which is not coord's;/,
    );
  });

  it("goes by the lease when the listener is out of sight, and by the listener when it is not the leaseholder", () => {
    expect(explainFixedPort({ port: 29500, holder: undefined, leasedBy: "run-b" })).toContain("run run-b;");
    expect(explainFixedPort({ port: 29500, holder: stranger, leasedBy: "run-b" })).toContain("not coord's");
    expect(explainFixedPort({ port: 29500, holder: undefined, leasedBy: undefined })).toContain("another user");
  });
});

describe("explainRange", () => {
  it("names the range and the first of those who have its ports", () => {
    const range = { from: 29500, to: 29506 };
    const taken = Array.from({ length: 7 }, (_, i) => ({
      port: 29500 + i,
      holder: i === 0 ? ours : stranger,
      leasedBy: undefined,
    }));
    expect(explainRange(range, taken)).toBe(
      "No port of 29500-29506 is free (29500 by run run-a, 29501 by process 12 (nginx -g daemon), " +
        "29502 by process 12 (nginx -g daemon), 29503 by process 12 (nginx -g daemon), " +
        "29504 by process 12 (nginx -g daemon) and 2 more); give a larger --port-range, or none to get any free port.",
    );
    expect(explainRange(range, [])).toMatch(/^No port of 29500-29506 is free; /);
  });
});
