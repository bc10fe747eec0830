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
  checkpoints: {
    describe: "List, verify, compare or prune checkpoints",
    load: async () => (await import("./commands/checkpoints.ts")).checkpointsCommand,
  },
  export: {
    describe: "Write a merged model or a bare adapter",
    load: async () => (await import("./commands/export.ts")).exportCommand,
  },
  import: {
    describe: "Take over a checkpoint of PEFT or HuggingFace's Trainer",
    load: async () => (await import("./commands/import.ts")).importCommand,
  },
  events: {
    describe: "Print what has happened in a run",
    load: async () => (await import("./commands/events.ts")).eventsCommand,
  },
  stop: {
    describe: "Stop a run after a checkpoint",
    load: async () => (await import("./commands/stop.ts")).stopCommand,
  },
  checkpoint: {
    describe: "Save a checkpoint now",
    load: async () => (await import("./commands/checkpoint.ts")).checkpointCommand,
  },
  set: {
    describe: "Change log level or save interval of a run that is going on",
    load: async () => (await import("./commands/set.ts")).setCommand,
  },
  stragglers: {
    describe: "Show where the time of each rank goes, and who is slow",
    load: async () => (await import("./commands/stragglers.ts")).stragglersCommand,
  },
  profile: {
    describe: "Write a trace of the next steps across all ranks",
    load: async () => (await import("./commands/profile.ts")).profileCommand,
  },
  report: {
    describe: "Write a run as one HTML file",
    load: async () => (await import("./commands/report.ts")).reportCommand,
  },
  dashboard: {
    describe: "Serve a web page of this host's runs",
    load: async () => (await import("./commands/dashboard.ts")).dashboardCommand,
  },
  init: {
    describe: "Write a commented coord.yaml",
    load: async () => (await import("./commands/init.ts")).initCommand,
  },
  manifest: {
    describe: "Print the Kubernetes objects of a launch",
    load: async () => (await import("./commands/manifest.ts")).manifestCommand,
  },
  plan: {
    describe: "Estimate a run: steps, memory, time, cost",
    load: async () => (await import("./commands/plan.ts")).planCommand,
  },
  doctor: {
    describe: "Check whether this host can train",
    load: async () => (await import("./commands/doctor.ts")).doctorCommand,
  },
  "kill-stale": {
    describe: "Find and end what dead runs left behind",
    load: async () => (await import("./commands/killStale.ts")).killStaleCommand,
  },
  data: {
    describe: "Look at a data set, or write it in another format",
    load: async () => (await import("./commands/data.ts")).dataCommand,
  },
  completion: {
    describe: "Print a completion script for bash, zsh or fish",
    load: async () => (await import("./commands/completion.ts")).completionCommand,
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
