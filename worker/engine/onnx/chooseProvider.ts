import type { Device } from "../device.ts";

/** onnxruntime's execution providers that are used here. */
export type Provider = "cpu" | "webgpu" | "cuda";

/** What a host tells before a provider is loaded. */
export interface ProviderFacts {
  /** process.platform */
  readonly platform: string;
  /** GPUs that the kernel shows as files: "/dev/nvidia0", "/dev/dri/renderD128", "/dev/dxg". Linux only. */
  readonly gpus: readonly string[];
  /** Whether the file of onnxruntime's CUDA provider is there: its package leaves it to a download. */
  readonly hasCudaLibrary: boolean;
}

export interface ProviderChoice {
  /** In the order in which they are to be tried. */
  readonly candidates: readonly Provider[];
  /** Why others are not tried: "cuda: …". */
  readonly passedOver: readonly string[];
}

/** Which providers may serve a device. `auto` tries what can be expected to be faster than the CPU, then the CPU. */
export function chooseProvider(device: Device, { gpus, hasCudaLibrary, platform }: ProviderFacts): ProviderChoice {
  if (device.kind !== "auto") return { candidates: [device.kind], passedOver: [] };
  const candidates: Provider[] = [];
  const passedOver: string[] = [];
  const consider = (provider: Provider, obstacle: string | undefined) => {
    if (obstacle === undefined) candidates.push(provider);
    else passedOver.push(`${provider}: ${obstacle}`);
  };
  const isLinux = platform === "linux";
  const hasNvidia = !isLinux || gpus.some((path) => path.startsWith("/dev/nvidia") || path === "/dev/dxg");
  consider("cuda", cudaObstacle(hasNvidia, hasCudaLibrary));
  // WebGPU would also take a processor that poses as a GPU, which is slower than the CPU provider.
  consider("webgpu", isLinux && gpus.length === 0 ? "this host shows no GPU" : undefined);
  return { candidates: [...candidates, "cpu"], passedOver };
}

function cudaObstacle(hasNvidia: boolean, hasLibrary: boolean): string | undefined {
  if (!hasNvidia) return "this host shows no NVIDIA GPU";
  return hasLibrary ? undefined : `its library is not installed (${cudaInstall})`;
}

/** onnxruntime-node's own way to add what its package leaves out. */
export const cudaInstall = "npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12";
