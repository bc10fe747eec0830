import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AgentPool, type PlaceFailure } from "../../../../coordinator/launch/agentPool.ts";
import { RegisterRequestSchema, ReportExitRequestSchema } from "../../../../shared/gen/coord/v1/agent_pb.ts";

const runId = "r";

function setUp(maxRestarts = 1) {
  const restarts: string[] = [];
  const failures: PlaceFailure[] = [];
  const pool = new AgentPool({
    runId,
    gpus: [2, 2],
    maxRestarts,
    restartWindowMs: 3_600_000,
    clock: { monotonicMs: () => 0 },
    firstAttempt: 3,
    environment: ({ attempt, localRank, nodeRank }) => ({ WHO: `${nodeRank}/${localRank}@${attempt}` }),
    onNode: () => {},
    onRestart: ({ localRank, nodeRank }, reason) => restarts.push(`${nodeRank}/${localRank}: ${reason}`),
    onFailure: (failure) => failures.push(failure),
  });
  function register(nodeRank: number, incarnation: string, running: { localRank: number; attempt: number }[] = []) {
    const orders: string[] = [];
    const hangUp = new AbortController();
    let error: unknown;
    const request = create(RegisterRequestSchema, { runId, nodeRank, incarnation, running });
    const reading = (async () => {
      for await (const { order } of pool.handlers.register(request, { signal: hangUp.signal })) {
        if (order?.case === "welcome") continue;
        if (order?.case === "start") orders.push(`start ${order.value.environment!["WHO"]}`);
        else orders.push(`stop ${order?.value?.localRank ?? "all"}${order?.value?.exit ? " and exit" : ""}`);
      }
    })().catch((thrown: unknown) => {
      error = thrown;
    });
    return { orders, hangUp, reading, error: () => error };
  }
  const exit = (nodeRank: number, localRank: number, attempt: number, signal = "SIGKILL") =>
    pool.handlers.reportExit(
      create(ReportExitRequestSchema, { runId, nodeRank, localRank, attempt, exitCode: signal ? -1 : 0, signal }),
      { signal: new AbortController().signal },
    );
  return { pool, register, exit, restarts, failures };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("AgentPool", () => {
  it("has workers started when training begins, on nodes that were here before and that come later", async () => {
    const { pool, register } = setUp();
    const zero = register(0, "a");
    await settled();
    expect(zero.orders).toEqual([]);
    pool.begin();
    const one = register(1, "b");
    await settled();
    expect(zero.orders).toEqual(["start 0/0@3", "start 0/1@3"]);
    expect(one.orders).toEqual(["start 1/0@3", "start 1/1@3"]);
  });

  it("starts a killed worker again within the budget, then fails the run naming the worker", async () => {
    const { pool, register, exit, restarts, failures } = setUp(1);
    const zero = register(0, "a");
    pool.begin();
    await settled();
    await exit(0, 1, 3);
    await settled();
    expect(zero.orders.at(-1)).toBe("start 0/1@4");
    expect(restarts).toEqual(["0/1: It was ended by SIGKILL; restart 1 of 1."]);
    await exit(0, 0, 3);
    expect(failures).toMatchObject([{ place: { nodeRank: 0, localRank: 0 } }]);
  });

  it("counts the end of an attempt once, and ignores reports of earlier attempts", async () => {
    const { pool, register, exit, restarts } = setUp(5);
    register(0, "a");
    pool.begin();
    await settled();
    await exit(0, 1, 3);
    await exit(0, 1, 3);
    expect(restarts).toHaveLength(1);
  });

  it("leaves the workers of an agent alone that has only lost its connection or its coordinator", async () => {
    const { pool, register } = setUp();
    pool.begin();
    const back = register(0, "a", [
      { localRank: 0, attempt: 2 },
      { localRank: 1, attempt: 1 },
    ]);
    await settled();
    expect(back.orders).toEqual([]);
    expect(pool.places.slice(0, 2).map(({ attempt }) => attempt)).toEqual([2, 1]);
  });

  it("does not give a node back to an agent from which another one has taken it over", async () => {
    const { pool, register } = setUp();
    const old = register(0, "a");
    pool.begin();
    await settled();
    const next = register(0, "b");
    await old.reading;
    const again = register(0, "a", [{ localRank: 0, attempt: 3 }]);
    await again.reading;
    expect(again.error()).toMatchObject({ code: "NOT_A_MEMBER" });
    expect(again.orders).toEqual([]);
    expect(next.error()).toBeUndefined();
    expect(pool.isHere(0)).toBe(true);
  });

  it("waits at the end for the agent that has yet to come back, and sends it away", async () => {
    const { pool, register } = setUp();
    const zero = register(0, "a");
    pool.begin();
    await settled();
    pool.end({ now: false, stay: false });
    let allTold = false;
    const waiting = pool.allTold().then(() => {
      allTold = true;
    });
    await settled();
    expect(zero.orders.at(-1)).toBe("stop all and exit");
    expect(allTold).toBe(false);
    const one = register(1, "b");
    await waiting;
    expect(one.orders).toEqual(["stop all and exit"]);
  });

  it("waits for nobody where all are here, where they stay, and where training never began", async () => {
    for (const { begun, stay } of [
      { begun: true, stay: false },
      { begun: true, stay: true },
      { begun: false, stay: false },
    ]) {
      const { pool, register } = setUp();
      if (begun && !stay) for (const nodeRank of [0, 1]) register(nodeRank, `${nodeRank}`);
      if (begun) pool.begin();
      await settled();
      pool.end({ now: false, stay });
      await pool.allTold();
    }
  });

  it("hands a node over to a new agent, which starts its workers anew, and sends the old one away", async () => {
    const { pool, register } = setUp();
    pool.begin();
    const old = register(0, "a");
    await settled();
    const young = register(0, "b");
    await old.reading;
    await settled();
    expect(old.error()).toMatchObject({ code: "NOT_A_MEMBER" });
    expect(young.orders).toEqual(["start 0/0@4", "start 0/1@4"]);
  });

  it("sends agents home at the end, or has them stay for the run's next coordinator", async () => {
    const { pool, register } = setUp();
    const agent = register(0, "a");
    await settled();
    pool.end({ now: false, stay: true });
    await agent.reading;
    expect(agent.orders).toEqual(["stop all"]);
    const late = register(1, "b");
    await late.reading;
    expect(late.error()).toMatchObject({ code: "COORDINATOR_UNREACHABLE" });
  });

  it("refuses agents of another run and nodes that the run does not have", async () => {
    const { register } = setUp();
    const outside = register(2, "a");
    await outside.reading;
    expect(outside.error()).toMatchObject({ code: "CONFIG_INVALID" });
  });
});
