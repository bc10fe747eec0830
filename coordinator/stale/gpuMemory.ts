import { execa } from "execa";

const timeoutMs = 5000;

/** Bytes of GPU memory that each process holds, over all NVIDIA GPUs; empty where nvidia-smi is missing or hangs. */
export async function gpuMemoryByPid(): Promise<Map<number, number>> {
  const { stdout, failed } = await execa(
    "nvidia-smi",
    ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"],
    { reject: false, timeout: timeoutMs, forceKillAfterDelay: 500 },
  );
  return failed ? new Map() : parseComputeApps(stdout);
}

/** Parses lines "PID, MiB" as nvidia-smi writes them; lines without a number ("[N/A]" inside containers) are left out. */
export function parseComputeApps(text: string): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const [, pid, mebibytes] of text.matchAll(/^\s*(\d+)\s*,\s*(\d+)\s*$/gm)) {
    bytes.set(Number(pid), (bytes.get(Number(pid)) ?? 0) + Number(mebibytes) * 1024 * 1024);
  }
  return bytes;
}
