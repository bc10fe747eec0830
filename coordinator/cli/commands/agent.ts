import { once } from "node:events";
import { CoordError } from "../../../shared/errors.ts";
import { type Command, textValue } from "../command.ts";

export const agentCommand: Command = {
  usage: "agent",
  describe: "Start and watch the workers of this node. Launchers start it; COORD_TOKEN_FILE names the run's token.",
  options: {
    join: { describe: "Address of the coordinator, HOST:PORT.", requiresArg: true },
    "node-rank": { describe: "Index of this node, from 0.", requiresArg: true },
    // For launchers: credentials must not be seen in a process list.
    "from-stdin": { type: "boolean", hidden: true, describe: "Take everything from standard input." },
    check: { type: "boolean", hidden: true, describe: "Answer a launcher's questions about this host." },
  },
  examples: [["coord agent --join 10.0.0.1:29500 --node-rank 1", "Take part as the second node"]],
  async run(values) {
    const program = values["check"] ? "hostCheckMain" : values["from-stdin"] ? "placedAgentMain" : "agentMain";
    if (program === "agentMain") {
      for (const name of ["join", "node-rank"]) {
        if (textValue(values, name) === undefined) throw new CoordError("CONFIG_INVALID", `--${name} is missing.`);
      }
    }
    // A process boundary, not a source import: this process becomes the agent, which reads the command line itself
    // and belongs to the other side of the program.
    await import(new URL(`../../../worker/${program}.js`, import.meta.url).href);
    // The agent ends the process itself; should it only fall idle, its exit code counts.
    await once(process, "beforeExit");
    return Number(process.exitCode ?? 0);
  },
};
