import * as tf from "@tensorflow/tfjs";
import type { Batch } from "../../worker/engine/engine.ts";
import type { NamedTensor } from "./tinyModel.ts";

/** The keys of config.json that the oracle reads. */
export interface OracleConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly tie_word_embeddings: boolean;
}

export interface OracleInput {
  readonly config: OracleConfig;
  readonly weights: ReadonlyMap<string, NamedTensor>;
  /** Adapter tensors by PEFT name. */
  readonly adapter: ReadonlyMap<string, NamedTensor>;
  /** alpha / r */
  readonly scale: number;
  readonly batch: Batch;
  /** Dropout masks by module, [batch · sequence, in features]. */
  readonly masks?: ReadonlyMap<string, Float32Array>;
}

/**
 * A Llama forward pass written for this test alone, plainly and with nothing shared with the engine (repeated key and value heads,
 * rotate_half, one-hot labels over the whole sequence), differentiated by TensorFlow.js.
 */
export async function oracle(input: OracleInput): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  await tf.setBackend("cpu");
  const names = [...input.adapter.keys()];
  const result = tf.tidy(() => {
    const adapters = names.map((name) => tensorOf(input.adapter.get(name)!));
    const forward = (...tensors: tf.Tensor[]) => loss(input, new Map(names.map((name, i) => [name, tensors[i]!])));
    return tf.valueAndGrads(forward)(adapters);
  });
  const gradients = new Map<string, Float32Array>();
  names.forEach((name, index) => {
    gradients.set(name, result.grads[index]!.dataSync<"float32">());
  });
  return { loss: result.value.dataSync()[0]!, gradients };
}

const tensorOf = ({ data, shape }: NamedTensor) => tf.tensor(data, [...shape]);

function loss(input: OracleInput, adapter: ReadonlyMap<string, tf.Tensor>): tf.Scalar {
  const { batch, config, weights } = input;
  const weight = (name: string) => tensorOf(weights.get(name)!);
  const linear = (module: string, x: tf.Tensor): tf.Tensor => {
    const base = module === "lm_head" && config.tie_word_embeddings ? "model.embed_tokens.weight" : `${module}.weight`;
    const y = project(x, weight(base));
    const down = adapter.get(`base_model.model.${module}.lora_A.weight`);
    const up = adapter.get(`base_model.model.${module}.lora_B.weight`);
    if (!down || !up) return y;
    const mask = input.masks?.get(module);
    const dropped = mask ? tf.mul(x, tf.tensor(mask).reshape(x.shape)) : x;
    return tf.add(y, tf.mul(project(project(dropped, down), up), input.scale));
  };
  const norm = (x: tf.Tensor, name: string) => {
    const variance = tf.mean(tf.square(x), -1, true);
    return tf.mul(weight(name), tf.div(x, tf.sqrt(tf.add(variance, config.rms_norm_eps))));
  };
  let hidden: tf.Tensor = tf.gather(
    weight("model.embed_tokens.weight"),
    tf.tensor2d(batch.inputIds, [batch.batch, batch.sequence], "int32"),
  );
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}`;
    const normed = norm(hidden, `${prefix}.input_layernorm.weight`);
    const heads = (name: string, count: number) =>
      linear(`${prefix}.self_attn.${name}`, normed)
        .reshape([batch.batch, batch.sequence, count, config.head_dim])
        .transpose([0, 2, 1, 3]);
    const query = rotate(heads("q_proj", config.num_attention_heads), config);
    const key = repeat(rotate(heads("k_proj", config.num_key_value_heads), config), config);
    const value = repeat(heads("v_proj", config.num_key_value_heads), config);
    const scores = tf.div(tf.matMul(query, key, false, true), Math.sqrt(config.head_dim));
    const visible = tf.linalg.bandPart(tf.ones([batch.sequence, batch.sequence]), -1, 0).toBool();
    const masked = tf.where(
      visible.broadcastTo(scores.shape as [number, number, number, number]),
      scores,
      tf.fill(scores.shape, -1e9),
    );
    const mixed = tf.matMul(tf.softmax(masked), value).transpose([0, 2, 1, 3]);
    const merged = mixed.reshape([batch.batch, batch.sequence, -1]);
    hidden = tf.add(hidden, linear(`${prefix}.self_attn.o_proj`, merged));
    const inner = norm(hidden, `${prefix}.post_attention_layernorm.weight`);
    const gate = linear(`${prefix}.mlp.gate_proj`, inner);
    const silu = tf.mul(gate, tf.sigmoid(gate));
    const up = linear(`${prefix}.mlp.up_proj`, inner);
    hidden = tf.add(hidden, linear(`${prefix}.mlp.down_proj`, tf.mul(silu, up)));
  }
  const logits = linear("lm_head", norm(hidden, "model.norm.weight"));
  return tokenLoss(logits, batch, config.vocab_size);
}

/** Sum over the label tokens of the cross-entropy of the token before each. */
function tokenLoss(logits: tf.Tensor, batch: Batch, vocabulary: number): tf.Scalar {
  const shifted = logits.slice([0, 0, 0], [batch.batch, batch.sequence - 1, vocabulary]);
  const labels = tf.tensor2d(batch.labels, [batch.batch, batch.sequence], "int32").slice([0, 1]);
  const counted = tf.cast(tf.greaterEqual(labels, 0), "float32");
  const oneHot = tf.oneHot(tf.maximum(labels, 0).toInt(), vocabulary);
  const perToken = tf.neg(tf.sum(tf.mul(tf.logSoftmax(shifted), oneHot), -1));
  return tf.sum(tf.mul(perToken, counted)).asScalar();
}

/** x [batch, sequence, in] by weight [out, in]. */
function project(x: tf.Tensor, weight: tf.Tensor): tf.Tensor {
  const [batch, sequence, features] = x.shape as [number, number, number];
  return tf
    .matMul(x.reshape([batch * sequence, features]), weight as tf.Tensor2D, false, true)
    .reshape([batch, sequence, -1]);
}

function rotate(x: tf.Tensor, { head_dim, rope_theta }: OracleConfig): tf.Tensor {
  const [batch, heads, sequence] = x.shape as [number, number, number];
  const half = head_dim / 2;
  const angles = Array.from({ length: sequence }, (_, position) =>
    Array.from({ length: head_dim }, (_, i) => position / rope_theta ** ((2 * (i % half)) / head_dim)),
  );
  const first = x.slice([0, 0, 0, 0], [batch, heads, sequence, half]);
  const second = x.slice([0, 0, 0, half], [batch, heads, sequence, half]);
  const turned = tf.concat([tf.neg(second), first], -1);
  return tf.add(tf.mul(x, tf.cos(tf.tensor2d(angles))), tf.mul(turned, tf.sin(tf.tensor2d(angles))));
}

function repeat(x: tf.Tensor, { num_attention_heads, num_key_value_heads }: OracleConfig): tf.Tensor {
  const [batch, heads, sequence, size] = x.shape as [number, number, number, number];
  const times = num_attention_heads / num_key_value_heads;
  return x
    .reshape([batch, heads, 1, sequence * size])
    .tile([1, 1, times, 1])
    .reshape([batch, num_attention_heads, sequence, size]);
}
