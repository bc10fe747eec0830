import { describe, expect, it } from "vitest";
import { chooseProvider } from "../../../../../worker/engine/onnx/chooseProvider.ts";
import { describeFallback } from "../../../../../worker/engine/onnx/nodeProviders.ts";

const none = { platform: "linux", gpus: [], hasCudaLibrary: false };

describe("chooseProvider", () => {
  it("takes what is asked for, whatever the host shows", () => {
    for (const kind of ["cpu", "webgpu", "cuda"] as const) {
      expect(chooseProvider({ kind }, none)).toEqual({ candidates: [kind], passedOver: [] });
    }
  });

  it("takes the CPU by itself where there is no GPU, and says why not the others", () => {
    expect(chooseProvider({ kind: "auto" }, none)).toEqual({
      candidates: ["cpu"],
      passedOver: ["cuda: this host shows no NVIDIA GPU", "webgpu: this host shows no GPU"],
    });
  });

  it("tries CUDA before WebGPU before the CPU, as far as they can work", () => {
    const auto = (gpus: string[], hasCudaLibrary: boolean) =>
      chooseProvider({ kind: "auto" }, { ...none, gpus, hasCudaLibrary });
    expect(auto(["/dev/nvidia0"], true)).toEqual({ candidates: ["cuda", "webgpu", "cpu"], passedOver: [] });
    expect(auto(["/dev/nvidia0"], false)).toEqual({
      candidates: ["webgpu", "cpu"],
      passedOver: [expect.stringMatching(/^cuda: its library is not installed \(npm rebuild /)],
    });
    expect(auto(["/dev/dri/renderD128"], true).candidates).toEqual(["webgpu", "cpu"]);
    expect(chooseProvider({ kind: "auto" }, { ...none, platform: "darwin" }).candidates).toEqual(["webgpu", "cpu"]);
  });
});

describe("describeFallback", () => {
  const node = (index: number, operator: string, provider: string) => ({
    cat: "Node",
    args: { node_index: String(index), op_name: operator, provider: `${provider}ExecutionProvider` },
  });
  it("counts each node once, by operator, and ignores events that are no nodes", () => {
    const events = [
      { cat: "Session" },
      node(1, "Gemm", "WebGpu"),
      node(2, "Cast", "CPU"),
      node(2, "Cast", "CPU"),
      node(3, "Cast", "CPU"),
      node(4, "ScatterND", "CPU"),
    ];
    expect(describeFallback(JSON.stringify(events), "webgpu")).toBe(
      "3 of 4 nodes run on the CPU, not on webgpu: 2 Cast, 1 ScatterND",
    );
    expect(describeFallback(JSON.stringify(events.slice(0, 2)), "webgpu")).toBeUndefined();
  });
});
