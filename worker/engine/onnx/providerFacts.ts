import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { ProviderFacts } from "./chooseProvider.ts";

/** Looks at this host and at the installed package. */
export function providerFacts(): ProviderFacts {
  return { platform: process.platform, gpus: gpuFiles(), hasCudaLibrary: existsSync(cudaLibrary()) };
}

function gpuFiles(): string[] {
  const matching = (directory: string, name: RegExp) => {
    try {
      return readdirSync(directory)
        .filter((file) => name.test(file))
        .map((file) => join(directory, file));
    } catch {
      return [];
    }
  };
  return [...matching("/dev", /^(nvidia\d+|dxg)$/), ...matching("/dev/dri", /^renderD\d+$/)];
}

function cudaLibrary(): string {
  const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  const name = process.platform === "win32" ? "onnxruntime_providers_cuda.dll" : "libonnxruntime_providers_cuda.so";
  return join(root, "bin", "napi-v6", process.platform, process.arch, name);
}
