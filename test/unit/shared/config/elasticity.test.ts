import { describe, expect, it } from "vitest";
import { elasticityOf } from "../../../../shared/config/elasticity.ts";
import { resolveConfig } from "../../../../shared/config/resolve.ts";

const boundsOf = (flags: Record<string, string>) => {
  const { config } = resolveConfig({ flags });
  const bounds = elasticityOf(config);
  return [config.nodes, bounds?.minNodes, bounds?.maxNodes];
};

describe("the bounds of a run's size", () => {
  it.each([
    [{ nodes: "3" }, [3, undefined, undefined]],
    [{ nnodes: "2:4" }, [4, 2, 4]],
    [{ nnodes: "4:4" }, [4, undefined, undefined]],
    [{ nodes: "3", elastic: "true" }, [3, 1, 3]],
    [{ nodes: "2", "max-nodes": "4" }, [2, 2, 4]],
    [{ nodes: "3", "min-nodes": "2", elastic: "true" }, [3, 2, 3]],
  ] as [Record<string, string>, unknown[]][])("%j", (flags, expected) => {
    expect(boundsOf(flags)).toEqual(expected);
  });

  it("is refused when it contradicts itself", () => {
    const message = "--nodes 2 must lie between --min-nodes 3 and --max-nodes 2.";
    expect(() => boundsOf({ nodes: "2", "min-nodes": "3" })).toThrow(message);
    expect(() => boundsOf({ nnodes: "4:2" })).toThrow("--nodes 2 must lie between --min-nodes 4 and --max-nodes 2.");
    expect(() => boundsOf({ nnodes: "2:" })).toThrow('--nodes must be a whole number, got "2:".');
  });
});
