import { describe, expect, it } from "vitest";
import { randomKey, randomNormal } from "../../../../shared/rng.ts";
import { elementCount } from "../../../../shared/tensors/layout.ts";
import { activate } from "../../../../worker/model/activations.ts";
import { differentiate } from "../../../../worker/model/differentiate.ts";
import { type Shape, sizeOf, type Tensor } from "../../../../worker/model/graph.ts";
import {
  attention,
  headNorm,
  layerNorm,
  linear,
  negativeLogLikelihood,
  rmsNorm,
  swiGlu,
} from "../../../../worker/model/layers.ts";
import {
  add,
  gatherRows,
  input,
  matmul,
  mul,
  parameter,
  reshape,
  rope,
  slice,
  softmax,
  transpose,
} from "../../../../worker/model/operations.ts";
import { compileGraph, type Feeds } from "../../../support/evaluateGraph.ts";
import { relativeDifference } from "../../../support/tinyModel.ts";

const sizes = { B: 2, S: 3, T: 6, L: 4 };

function values(name: string, shape: Shape): Float32Array {
  const length = elementCount(shape.map((dim) => sizeOf(dim, sizes)));
  return Float32Array.from({ length }, (_, index) => randomNormal(randomKey(name), index));
}

const rotary = {
  positions: input("positions", ["T"], "int32"),
  cos: input("cos", ["S", 2]),
  sin: input("sin", ["S", 2]),
};

/** Positions of their own in each row, so that a table that is read by the token's place in its row is found out. */
function rotaryFeeds(): Feeds {
  const angles = values("angles", ["S", 2]);
  return { positions: Int32Array.of(0, 1, 2, 0, 0, 1), cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);

/** Compares the derivative along a random direction of each parameter with a central finite difference. */
async function checkGradients(output: Tensor, parameters: readonly Tensor[], extra: Feeds = {}) {
  const seed = input("seed", output.shape);
  const graph = await compileGraph([output, ...differentiate(output, seed, parameters)], sizes);
  const named = parameters.map((tensor) => ({ name: (tensor.op as { name: string }).name, shape: tensor.shape }));
  const feeds: Record<string, Float32Array | Int32Array> = { ...extra, seed: values("seed", output.shape) };
  for (const { name, shape } of named) feeds[name] = values(name, shape);
  const [, ...gradients] = await graph.run(feeds);
  const objective = async (moved: Feeds) =>
    dot((await graph.run({ ...feeds, ...moved }))[0]!, feeds["seed"] as Float32Array);
  for (const [index, { name, shape }] of named.entries()) {
    const at = feeds[name] as Float32Array;
    const direction = values(`direction ${name}`, shape);
    const step = 1e-2;
    const move = (by: number) => ({ [name]: at.map((value, i) => value + by * direction[i]!) });
    const slope = ((await objective(move(step))) - (await objective(move(-step)))) / (2 * step);
    const predicted = dot(gradients[index]!, direction);
    expect(Math.abs(predicted - slope), `${name}: ${predicted} against ${slope}`).toBeLessThan(
      2e-3 * Math.max(1, Math.abs(slope)),
    );
  }
  await graph.release();
}

describe("the gradient rule agrees with central finite differences for", () => {
  it("addition and multiplication with broadcasting", async () => {
    const wide = parameter("wide", ["T", 4]);
    const column = parameter("column", ["T", 1]);
    const row = parameter("row", [4]);
    await checkGradients(mul(add(wide, column), row), [wide, column, row]);
    await checkGradients(add(mul(wide, row), column), [wide, column, row]);
  });

  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      it(`matrix products (a ${transposeA ? "transposed" : "plain"}, b ${transposeB ? "transposed" : "plain"})`, async () => {
        const a = parameter("a", transposeA ? [5, 3] : [3, 5]);
        const b = parameter("b", transposeB ? [4, 5] : [5, 4]);
        await checkGradients(matmul(a, b, { transposeA, transposeB, scale: 0.7 }), [a, b]);
        const many = parameter("many", ["B", 3, ...a.shape]);
        const others = parameter("others", ["B", 3, ...b.shape]);
        await checkGradients(matmul(many, others, { transposeA, transposeB, scale: 0.7 }), [many, others]);
      });
    }
  }

  it("softmax, reshape and transpose", async () => {
    const x = parameter("x", ["T", 4]);
    await checkGradients(softmax(x), [x]);
    await checkGradients(transpose(reshape(x, ["B", "S", 2, 2]), [0, 2, 3, 1]), [x]);
  });

  it("rotary embedding, whose inverse undoes it", async () => {
    const x = parameter("x", ["B", 2, "S", 4]);
    const tables = rotaryFeeds();
    const turned = rope(x, rotary);
    await checkGradients(turned, [x], tables);
    const graph = await compileGraph([turned.gradient!.apply(turned)[0]!], sizes);
    const data = values("x", x.shape);
    expect(relativeDifference((await graph.run({ x: data, ...tables }))[0]!, data)).toBeLessThan(1e-6);
    await graph.release();
  });

  it("rows gathered from a table, some of them several times", async () => {
    const table = parameter("table", [5, 3]);
    const ids = Int32Array.from([1, 4, 1, 0, 1, 4]);
    await checkGradients(gatherRows(table, input("ids", ["T"], "int32")), [table], { ids });
  });

  it("RMSNorm, with respect to its input and its weight", async () => {
    const x = parameter("x", ["T", 6]);
    const weight = parameter("weight", [6]);
    await checkGradients(rmsNorm(x, weight, 1e-5), [x, weight]);
  });

  it("RMSNorm of each head by itself", async () => {
    const x = parameter("x", ["T", 12]);
    const weight = parameter("weight", [4]);
    await checkGradients(headNorm(x, weight, 3, 1e-5), [x, weight]);
  });

  it("LayerNorm, with respect to its input, its weight and its bias", async () => {
    const x = parameter("x", ["T", 6]);
    const weight = parameter("weight", [6]);
    const bias = parameter("bias", [6]);
    await checkGradients(layerNorm(x, weight, bias, 1e-5), [x, weight, bias]);
    await checkGradients(layerNorm(x, undefined, undefined, 1e-5), [x]);
  });

  for (const name of ["gelu", "gelu_new", "silu"] as const) {
    it(`the activation ${name}`, async () => {
      const x = parameter("x", ["T", 5]);
      await checkGradients(activate(name, x), [x]);
    });
  }

  it("a slice of the last axis", async () => {
    const x = parameter("x", ["T", 2, 7]);
    await checkGradients(slice(x, 2, 4), [x]);
    await checkGradients(add(slice(x, 0, 3), slice(x, 4, 3)), [x]);
  });

  it("rotary positions of a part of each head", async () => {
    const x = parameter("x", ["B", 3, "S", 8]);
    await checkGradients(rope(x, rotary), [x], rotaryFeeds());
  });

  it("attention without rotary positions and with a scale of its own", async () => {
    const [query, key, value] = ["query", "key", "value"].map((name) => parameter(name, ["T", 8])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const mask = input("causal", ["S", "S"]);
    const causal = Float32Array.from({ length: 9 }, (_, at) => (at % 3 > Math.floor(at / 3) ? -1e30 : 0));
    const output = attention(query, key, value, { heads: 2, keyValueHeads: 2, headDim: 4, mask, scale: 0.3 });
    await checkGradients(output, [query, key, value], { causal });
  });

  it("linear layers whose weight is transposed", async () => {
    const x = parameter("x", ["T", 5]);
    const weight = parameter("weight", [5, 4]);
    const lowRank = { down: parameter("down", [2, 5]), up: parameter("up", [4, 2]), scale: 1.5 };
    await checkGradients(linear(x, { weight, transposed: true, lowRank }), [x, weight, lowRank.down, lowRank.up]);
  });

  it("SwiGLU", async () => {
    const gate = parameter("gate", ["T", 5]);
    const up = parameter("up", ["T", 5]);
    await checkGradients(swiGlu(gate, up), [gate, up]);
  });

  it("linear layers with bias, adapter and dropout", async () => {
    const x = parameter("x", ["T", 5]);
    const weight = parameter("weight", [4, 5]);
    const bias = parameter("bias", [4]);
    const down = parameter("down", [2, 5]);
    const up = parameter("up", [4, 2]);
    const mask = input("mask", ["T", 5]);
    const kept = values("mask", mask.shape).map((value) => (value > 0 ? 2 : 0));
    await checkGradients(
      linear(x, { weight, bias, lowRank: { down, up, scale: 1.5, mask } }),
      [x, weight, bias, down, up],
      {
        mask: kept,
      },
    );
  });

  it("DoRA's length and input, whatever is dropped", async () => {
    const x = parameter("x", ["T", 5]);
    const weight = input("weight", [4, 5]);
    const lowRank = { down: input("down", [2, 5]), up: input("up", [4, 2]), scale: 1.5 };
    const magnitude = parameter("magnitude", [4]);
    const bias = parameter("bias", [4]);
    const feeds = { down: values("down", [2, 5]), up: values("up", [4, 2]), weight: values("weight", [4, 5]) };
    await checkGradients(linear(x, { weight, bias, lowRank: { ...lowRank, magnitude } }), [x, magnitude, bias], feeds);
    const mask = input("mask", ["T", 5]);
    const kept = values("mask", mask.shape).map((value) => (value > 0 ? 2 : 0));
    const dropping = linear(x, { weight, bias, lowRank: { ...lowRank, magnitude, mask } });
    await checkGradients(dropping, [x, magnitude, bias], { ...feeds, mask: kept });
  });

  it("grouped-query attention", async () => {
    const query = parameter("query", ["T", 16]);
    const key = parameter("key", ["T", 8]);
    const value = parameter("value", ["T", 8]);
    const output = attention(query, key, value, {
      heads: 4,
      keyValueHeads: 2,
      headDim: 4,
      rotary,
      mask: input("causal", ["S", "S"]),
    });
    const causal = Float32Array.from({ length: 9 }, (_, at) => (at % 3 > Math.floor(at / 3) ? -1e30 : 0));
    await checkGradients(output, [query, key, value], { ...rotaryFeeds(), causal });
  });

  it("the negative log-likelihood of targets", async () => {
    const logits = parameter("logits", ["L", 7]);
    const targets = Int32Array.from([6, 0, 3, 3]);
    await checkGradients(negativeLogLikelihood(logits, input("targets", ["L"], "int32")), [logits], { targets });
  });
});

describe("a graph", () => {
  it("has ReLU's slope, 0 at 0 as PyTorch has it", async () => {
    const x = parameter("x", [5]);
    const y = activate("relu", x);
    const graph = await compileGraph([y, ...differentiate(y, input("seed", [5]), [x])], sizes);
    const seed = Float32Array.from([2, 2, 2, 2, 2]);
    const results = await graph.run({ x: Float32Array.from([-3, -0.5, 0, 0.5, 3]), seed });
    expect(results.map((values) => [...values])).toEqual([
      [0, 0, 0, 0.5, 3],
      [0, 0, 0, 2, 2],
    ]);
    await graph.release();
  });

  it("gives the exact log-likelihood where probabilities underflow", async () => {
    const logits = parameter("logits", ["L", 3]);
    const graph = await compileGraph([negativeLogLikelihood(logits, input("targets", ["L"], "int32"))], sizes);
    const [loss] = await graph.run({
      logits: Float32Array.from([0, 500, 0, 1e4, 0, 0, -900, -900, -900, 0, 0, 0]),
      targets: Int32Array.from([0, 0, 1, 2]),
    });
    expect([...loss!]).toEqual([
      500,
      expect.closeTo(0, 6),
      expect.closeTo(Math.log(3), 6),
      expect.closeTo(Math.log(3), 6),
    ]);
    await graph.release();
  });

  it("refuses shapes that do not fit, naming the operation and both shapes", () => {
    expect(() => matmul(parameter("a", [2, 3]), parameter("b", [2, 3]))).toThrow("matmul cannot take [2,3] and [2,3]");
    expect(() => add(parameter("a", ["T", 3]), parameter("b", ["T", 2]))).toThrow("add cannot take [T,3] and [T,2]");
  });

  it("gives no gradient to what the output does not depend on", () => {
    const [x, other] = [parameter("x", [2]), parameter("other", [2])];
    expect(() => differentiate(add(x, x), input("seed", [2]), [other])).toThrow("does not depend on");
  });
});
