import { expect, it } from "vitest";
import { threadsFor } from "../../../../coordinator/dataset/threadsFor.ts";

const megabyte = 1024 * 1024;
const large = 5000 * megabyte;

it("takes all processors for a large file, and none but the calling thread for a small one", () => {
  const host = { processors: 8, freeBytes: 60_000 * megabyte };
  expect(threadsFor(large, 10 * megabyte, host)).toBe(8);
  expect(threadsFor(megabyte, 10 * megabyte, host)).toBe(0);
  expect(threadsFor(large, megabyte, { ...host, processors: 1 })).toBe(0);
});

it("takes fewer where a large vocabulary would not fit beside itself so often", () => {
  const host = { processors: 16, freeBytes: 1500 * megabyte };
  expect(threadsFor(large, 11 * megabyte, host)).toBe(3);
  expect(threadsFor(large, megabyte, host)).toBe(6);
});
