import { describe, expect, it } from "vitest";
import { ancestorPids, isAlive, ownIdentity, readIdentity, sameProcess } from "../../../../shared/process/identity.ts";

describe("process identity", () => {
  const own = ownIdentity();

  it("names this process, which is alive", () => {
    expect(own.pid).toBe(process.pid);
    expect(isAlive(own)).toBe(true);
    expect(sameProcess(own, readIdentity(process.pid)!)).toBe(true);
  });

  it("tells a process from an earlier one with the same PID, and from one of another boot", () => {
    expect(isAlive({ ...own, startTime: `${own.startTime}1` })).toBe(false);
    expect(isAlive({ ...own, bootId: "another" })).toBe(false);
  });

  it("has none for a PID that nobody has", () => {
    expect(readIdentity(2 ** 30)).toBeUndefined();
    expect(isAlive({ ...own, pid: 2 ** 30 })).toBe(false);
  });

  it("knows the parents of this process up to the first", () => {
    expect(ancestorPids()[0]).toBe(process.ppid);
    expect(ancestorPids()).not.toContain(process.pid);
    expect(ancestorPids()).not.toContain(0);
  });
});
