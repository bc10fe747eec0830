// Watches a run as its users do, until it is ended: asks for its status each second over a new connection, and reads the
// dashboard's stream. Arguments: COORD_HOME, run id.
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { openRunClient } from "../../../coordinator/runs/runClient.ts";
import { RunDirectory } from "../../../coordinator/runs/runDirectory.ts";
import { readCredentials } from "../../../shared/rpc/credentials.ts";

const [home, run] = process.argv.slice(2) as [string, string];
const directory = new RunDirectory(home, run);
const { address } = (await directory.readCoordinator())!;
const credentials = readCredentials("viewer-token", directory.paths.viewerToken);
const { url } = JSON.parse(await readFile(directory.paths.dashboard, "utf8")) as { url: string };

const stream = await fetch(new URL(`api/runs/${run}/stream`, url));
if (!stream.ok) throw new Error(`The dashboard answers ${stream.status}.`);
void (async () => {
  for await (const _ of stream.body!);
})().catch(() => {});

for (;;) {
  const began = performance.now();
  const client = openRunClient({ address, ...credentials });
  await client.getStatus();
  client.close();
  await sleep(Math.max(0, 1000 - (performance.now() - began)));
}
