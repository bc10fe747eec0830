import type { Command } from "./command.ts";

/**
 * The commands in the order of `coord --help`. Each is loaded only when it is asked for: gRPC and the schema library
 * together take longer to load than `coord status` takes to answer.
 */
export const commandTable: Readonly<Record<string, { describe: string; load(): Promise<Command> }>> = {
  launch: {
    describe: "Start a training run and attach to it",
    load: async () => (await import("./commands/launch.ts")).launchCommand,
  },
  resume: {
    describe: "Continue a run from a checkpoint",
    load: async () => (await import("./commands/resume.ts")).resumeCommand,
  },
  attach: {
    describe: "Watch a run that is going on",
    load: async () => (await import("./commands/attach.ts")).attachCommand,
  },
  status: {
    describe: "Show where a run stands",
    load: async () => (await import("./commands/status.ts")).statusCommand,
  },
  list: {
    describe: "List the runs of this host",
    load: async () => (await import("./commands/list.ts")).listCommand,
  },
  logs: {
    describe: "Print what a run's processes wrote",
    load: async () => (await import("./commands/logs.ts")).logsCommand,
  },
  stop: {
    describe: "Stop a run after a checkpoint",
    load: async () => (await import("./commands/stop.ts")).stopCommand,
  },
  "kill-stale": {
    describe: "Find and end what dead runs left behind",
    load: async () => (await import("./commands/killStale.ts")).killStaleCommand,
  },
  coordinator: {
    describe: "Run a coordinator in the foreground, for agents started from outside",
    load: async () => (await import("./commands/coordinator.ts")).coordinatorCommand,
  },
  agent: {
    describe: "Start workers on this node (started by a launcher)",
    load: async () => (await import("./commands/agent.ts")).agentCommand,
  },
};
