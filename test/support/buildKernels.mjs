// Assembles shared/kernels/kernels.wat.mjs into shared/kernels/kernelsWasm.ts: npm run generate.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import createWabt from "wabt";
import { source } from "../../shared/kernels/kernels.wat.mjs";

/** The generated file's text. */
export async function assembleKernels() {
  const wabt = await createWabt();
  const assemble = (text) => {
    const { buffer } = wabt.parseWat("kernels.wat", text, { simd: true, threads: true }).toBinary({});
    return Buffer.from(buffer)
      .toString("base64")
      .match(/.{1,116}/g);
  };
  return [
    "// Assembled from shared/kernels/kernels.wat.mjs by test/support/buildKernels.mjs. Do not edit.",
    "",
    "/** The kernels as a WebAssembly module, in base64. */",
    "export const kernelsWasm = `",
    ...assemble(source),
    "`;",
    "",
    "/** The same on memory that is not shared between threads. */",
    "export const unsharedKernelsWasm = `",
    ...assemble(source.replace(" shared)", ")")),
    "`;",
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(join(import.meta.dirname, "..", "..", "shared", "kernels", "kernelsWasm.ts"), await assembleKernels());
}
