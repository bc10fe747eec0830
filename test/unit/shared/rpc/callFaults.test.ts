import { describe, expect, it } from "vitest";
import { randomKey } from "../../../../shared/rng.ts";
import { callWithFaults, faultsOf, streamWithFaults } from "../../../../shared/rpc/callFaults.ts";

const none = { late: false, twice: false, replyLost: false };

async function* count(seen: number[]): AsyncGenerator<Record<string, unknown>> {
  for (let index = 0; index < 3; index++) {
    seen.push(index);
    yield { index };
  }
}

describe("faults of calls", () => {
  it("come at the rate that was asked for, the same ones for the same seed, and never twice where that would do harm", () => {
    const key = randomKey("seed", "Service.Method");
    const drawn = Array.from({ length: 4000 }, (_, number) => faultsOf(key, number, 0.3, true));
    for (const kind of ["late", "twice", "replyLost"] as const) {
      const share = drawn.filter((faults) => faults[kind]).length / drawn.length;
      expect(share, kind).toBeGreaterThan(0.27);
      expect(share, kind).toBeLessThan(0.33);
    }
    expect(drawn[17]).toEqual(faultsOf(key, 17, 0.3, true));
    expect(drawn.map((_, number) => faultsOf(key, number, 1, false).twice)).not.toContain(true);
  });

  it("send the requests of a stream again as they were, and lose an answer only after it was given", async () => {
    const sent: object[][] = [];
    const call = async (requests: AsyncIterable<Record<string, unknown>> | Iterable<Record<string, unknown>>) => {
      const all: object[] = [];
      for await (const request of requests) all.push(request);
      sent.push(all);
      return { ok: true };
    };
    await expect(callWithFaults({ ...none, twice: true }, count([]), call)).resolves.toEqual({ ok: true });
    expect(sent).toEqual([
      [{ index: 0 }, { index: 1 }, { index: 2 }],
      [{ index: 0 }, { index: 1 }, { index: 2 }],
    ]);
    await expect(callWithFaults({ ...none, replyLost: true }, count([]), call)).rejects.toMatchObject({
      code: "COORDINATOR_UNREACHABLE",
    });
    expect(sent).toHaveLength(3);
  });

  it("let a download run to its end before they lose it, and end a stream that has none", async () => {
    const seen: number[] = [];
    const drain = async (isEndless: boolean) => {
      for await (const _ of streamWithFaults({ ...none, replyLost: true }, isEndless, () => count(seen)));
    };
    await expect(drain(false)).rejects.toMatchObject({ code: "COORDINATOR_UNREACHABLE" });
    expect(seen).toEqual([0, 1, 2]);
    await expect(drain(true)).rejects.toMatchObject({ code: "COORDINATOR_UNREACHABLE" });
    expect(seen).toEqual([0, 1, 2, 0]);
  });
});
