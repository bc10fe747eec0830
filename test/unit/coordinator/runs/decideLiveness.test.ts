import { describe, expect, it } from "vitest";
import { decideLiveness, startAllowanceMs } from "../../../../coordinator/runs/decideLiveness.ts";

const base = { hasResult: false, coordinator: "absent", lock: "absent", ageMs: 3_600_000 } as const;

describe("decideLiveness", () => {
  it("calls a run ended once it has a result, whoever still runs", () => {
    expect(decideLiveness({ ...base, hasResult: true, coordinator: "alive", lock: "alive" }).liveness).toBe("ended");
    expect(decideLiveness({ ...base, hasResult: true, coordinator: "gone" }).liveness).toBe("ended");
  });

  it("believes Slurm about a run in a job, whose processes are on other hosts", () => {
    const elsewhere = { ...base, coordinator: "gone", lock: "gone" } as const;
    expect(decideLiveness({ ...elsewhere, job: "going" }).liveness).toBe("live");
    expect(decideLiveness({ ...base, job: "going" }).liveness).toBe("starting");
    expect(decideLiveness({ ...elsewhere, job: "waiting", hasResult: true }).liveness).toBe("starting");
    expect(decideLiveness({ ...elsewhere, job: "over" }).liveness).toBe("dead");
    expect(decideLiveness({ ...elsewhere, job: "over", hasResult: true }).liveness).toBe("ended");
  });

  it("calls a run live while its coordinator listens", () => {
    expect(decideLiveness({ ...base, coordinator: "alive", lock: "alive" }).liveness).toBe("live");
  });

  it("calls a run starting while a new coordinator holds the lock beside the record of an old one", () => {
    expect(decideLiveness({ ...base, coordinator: "gone", lock: "alive" }).liveness).toBe("starting");
  });

  it("calls a run dead when whoever is on record is gone", () => {
    expect(decideLiveness({ ...base, coordinator: "gone" }).liveness).toBe("dead");
    expect(decideLiveness({ ...base, lock: "gone", ageMs: 0 }).liveness).toBe("dead");
  });

  it("gives a new run some time to come up", () => {
    expect(decideLiveness({ ...base, ageMs: startAllowanceMs - 1 }).liveness).toBe("starting");
    expect(decideLiveness({ ...base, ageMs: startAllowanceMs })).toMatchObject({
      liveness: "dead",
      reason: expect.stringContaining("never started"),
    });
  });
});
