import { describe, expect, it } from "vitest";
import { describeDownload } from "../../../../coordinator/hub/describeDownload.ts";

describe("describeDownload", () => {
  it("says bytes, speed and time left, once a second at most, and at the end", () => {
    const lines: string[] = [];
    let now = 0;
    const report = describeDownload(
      (line) => lines.push(line),
      () => now,
    );
    const at = (seconds: number, megabytes: number) => {
      now = seconds * 1000;
      report({ repo: "o/n", file: "m.safetensors", done: megabytes * 1e6, total: 100e6 });
    };
    at(0, 10);
    at(0.5, 15);
    at(1, 20);
    at(1.2, 25);
    at(4, 100);
    expect(lines).toEqual([
      "Downloading o/n: 20.0MB of 100.0MB, 10.0MB/s, ETA 8s (m.safetensors)",
      "Downloading o/n: 100.0MB of 100.0MB, 22.5MB/s, ETA 0s (m.safetensors)",
    ]);
  });

  it("says nothing about what is there already", () => {
    const lines: string[] = [];
    const report = describeDownload(
      (line) => lines.push(line),
      () => 0,
    );
    report({ repo: "o/n", file: "a", done: 5, total: 5 });
    report({ repo: "o/n", file: "b", done: 5, total: 5 });
    expect(lines).toEqual([]);
  });
});
