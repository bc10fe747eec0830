import { CoordError } from "../../../shared/errors.ts";
import { parseEventData } from "../../observe/eventData.ts";
import { openRunClient, type RunClient } from "../../runs/runClient.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { reachRun } from "../reachRun.ts";
import { selectRun } from "../selectRun.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

export const checkpointCommand: Command = {
  usage: "checkpoint [run]",
  describe: "Save a checkpoint now, after the step in work, and wait until it is there. Training goes on meanwhile.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the only one that is going on].", type: "string" },
  },
  options: jsonOption,
  async run(values, context) {
    const run = await selectRun(textValue(values, "run"), context, "onlyLive");
    const client = openRunClient(await reachRun(run));
    try {
      const saved = await whileInterruptible(context, (signal) => save(client, signal), "the checkpoint was there");
      const text = values["json"] ? JSON.stringify(saved, undefined, 2) : `Saved ${saved.path}.`;
      context.stdout.write(`${text}\n`);
      return 0;
    } finally {
      client.close();
    }
  },
};

/** Asks for a checkpoint and waits for the first one that is newer than the wish. */
async function save(client: RunClient, signal: AbortSignal): Promise<{ step: number; path: string }> {
  const watching = client.watch(0n, signal)[Symbol.asyncIterator]();
  // The first answer tells the state: from here on no event is missed.
  await watching.next();
  const asked = await client.saveCheckpoint();
  for (;;) {
    const { done, value } = await watching.next();
    if (done) throw new CoordError("COORDINATOR_UNREACHABLE", "The run ended before the checkpoint was there.");
    const { event } = value;
    const { code, path, step = 0 } = parseEventData(event?.dataJson ?? "");
    if (event?.kind === "checkpoint" && path !== undefined && step > asked) return { step, path };
    if (event?.kind === "warning" && code !== undefined && step > asked) {
      throw new CoordError("STORAGE_FAILED", event.message);
    }
  }
}
