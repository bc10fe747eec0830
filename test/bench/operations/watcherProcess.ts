// Watches a run as its users do: asks for its status each second over a new connection, and reads the dashboard's stream.
// Arguments: COORD_HOME, run id. Begins and ends with the lines "on" and "off" on its standard input, each answered by a
// line when it is done, and ends with its input.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openRunClient } from "../../../coordinator/runs/runClient.ts";
import { RunDirectory } from "../../../coordinator/runs/runDirectory.ts";
import { readCredentials } from "../../../shared/rpc/credentials.ts";

const [home, run] = process.argv.slice(2) as [string, string];
const directory = new RunDirectory(home, run);
const { address } = (await directory.readCoordinator())!;
const credentials = readCredentials("viewer-token", directory.paths.viewerToken);
const { url } = JSON.parse(await readFile(directory.paths.dashboard, "utf8")) as { url: string };

let watching: AbortController | undefined;

async function watch(signal: AbortSignal): Promise<void> {
  const stream = await fetch(new URL(`api/runs/${run}/stream`, url), { signal });
  if (!stream.ok) throw new Error(`The dashboard answers ${stream.status}.`);
  void (async () => {
    for await (const _ of stream.body!);
  })().catch(() => {});
  void (async () => {
    while (!signal.aborted) {
      const began = performance.now();
      const client = openRunClient({ address, ...credentials });
      await client.getStatus();
      client.close();
      await sleep(Math.max(0, 1000 - (performance.now() - began)), undefined, { signal });
    }
  })().catch((thrown: unknown) => {
    if (!signal.aborted) throw thrown;
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  watching?.abort();
  watching = line === "on" ? new AbortController() : undefined;
  if (watching) await watch(watching.signal);
  process.stdout.write("done\n");
}
process.exit(0);
