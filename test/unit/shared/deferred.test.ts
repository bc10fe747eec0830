import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Deferred, unlessAborted } from "../../../shared/deferred.ts";

describe("unlessAborted", () => {
  const unhandled: unknown[] = [];
  const hear = (reason: unknown) => unhandled.push(reason);
  const others = process.listeners("unhandledRejection");
  beforeEach(() => {
    unhandled.length = 0;
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", hear);
  });
  afterEach(() => {
    process.removeAllListeners("unhandledRejection");
    for (const listener of others) process.on("unhandledRejection", listener);
  });

  it.each(["before", "after"])("leaves no unhandled rejection when it is aborted %s the call", async (when) => {
    const controller = new AbortController();
    const reason = new Error("over");
    // Not a Deferred, which handles its own.
    let fail!: (reason: unknown) => void;
    const late = new Promise<void>((_, reject) => {
      fail = reject;
    });
    if (when === "before") controller.abort(reason);
    const waiting = unlessAborted(late, controller.signal);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    fail(new Error("late"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  });

  it("gives the promise's own end, and the reason of whichever signal is aborted", async () => {
    const { signal } = new AbortController();
    expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
    await expect(unlessAborted(Promise.reject(new Error("own")), signal)).rejects.toThrow("own");
    const second = new AbortController();
    const waiting = unlessAborted(new Deferred<void>().promise, signal, second.signal);
    second.abort(new Error("second"));
    await expect(waiting).rejects.toThrow("second");
  });
});
