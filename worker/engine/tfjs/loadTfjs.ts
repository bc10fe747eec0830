import { createRequire } from "node:module";

/** The part of TensorFlow.js that programs are run with; all its packages have it. */
export type Tfjs = typeof import("@tensorflow/tfjs-core");

export interface LoadedTfjs {
  readonly tf: Tfjs;
  /** For the log: "tfjs (TensorFlow, cpu)". */
  readonly description: string;
  /** Why it is this library and none that is faster. */
  readonly choice: string;
  /** Whether it computes on a GPU. */
  readonly gpu: boolean;
}

/** Native libraries, the faster one first. The packages differ in the TensorFlow that they bring. */
const nativePackages = ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"] as const;

/**
 * The first native TensorFlow whose library loads, else the plain backend in JavaScript. With `native` false it is the plain one
 * in any case.
 */
export function loadTfjs(native = true, require: NodeJS.Require = createRequire(import.meta.url)): LoadedTfjs {
  const reasons: string[] = [];
  for (const name of native ? nativePackages : []) {
    try {
      const tf = require(name) as Tfjs;
      const { isUsingGpuDevice: gpu } = tf.backend() as { isUsingGpuDevice?: boolean };
      tf.enableProdMode();
      const where = gpu ? "gpu" : "cpu";
      return {
        tf,
        description: `tfjs (TensorFlow, ${where})`,
        choice: [
          "tfjs computes with TensorFlow's native library from",
          `${name} on the ${where}`,
          ...because(reasons),
        ].join(" "),
        gpu: gpu === true,
      };
    } catch (thrown) {
      reasons.push(`${name} ${whyNot(thrown, name)}`);
    }
  }
  const tf = require("@tensorflow/tfjs-core") as Tfjs;
  require("@tensorflow/tfjs-backend-cpu");
  // Without its advice to install something else, and its checks of each value.
  tf.enableProdMode();
  tf.setBackend("cpu");
  return {
    tf,
    description: "tfjs (plain JavaScript, cpu)",
    choice: ["tfjs computes in plain JavaScript, which is slow", ...because(reasons)].join(" "),
    gpu: false,
  };
}

const because = (reasons: readonly string[]) => (reasons.length === 0 ? [] : [`(${reasons.join("; ")})`]);

/** The reason on one line. */
function whyNot(thrown: unknown, name: string): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  const [first = ""] = String(message).split("\n");
  if (code === "MODULE_NOT_FOUND" && first.includes(`'${name}'`)) return "is not installed";
  return `does not load: ${first}`;
}
