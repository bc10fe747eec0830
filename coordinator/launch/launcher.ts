/** Starts one agent per node somewhere; everything after that is the same everywhere. */
export interface Launcher {
  start(): Promise<void>;
  /** Waits for the agents to end on the coordinator's order, then makes sure that they have. */
  stop(): Promise<void>;
}

/** What every launcher needs to know. */
export interface LaunchOptions {
  readonly runId: string;
  readonly nodes: number;
  /** "host:port" that agents join. */
  readonly address: string;
  readonly home: string;
  /** Credentials that agents and workers join with: a token and, with TLS, certificates and a key. Mode 0600. */
  readonly tokenFile: string;
  readonly logs: string;
  /** Directory of the run's process records. */
  readonly processes: string;
  /** Time without a coordinator after which agents and workers end themselves, in milliseconds. */
  readonly reconnectBudgetMs: number;
  /** An agent ended although the run goes on; returns whether to start it again. */
  onAgentExit(nodeRank: number, how: string): "restart" | "leave";
}
