import { elasticityOf } from "../../../shared/config/elasticity.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { shellWord } from "../ssh/sshCommand.ts";

/** What a batch script depends on beside the settings. */
export interface BatchPlace {
  readonly runId: string;
  /** COORD_HOME, on a disk that all nodes see. */
  readonly home: string;
  readonly logs: string;
  /** File that gets the job's number. */
  readonly job: string;
  /** Node and the coordinator's program. */
  readonly program: readonly string[];
  readonly version: string;
}

/** Seconds before the time limit at which Slurm asks for a checkpoint. */
const warningSeconds = 120;
/** Crashes of the coordinator in a row after which the job ends. */
const maxCrashes = 5;

type BatchSettings = Pick<
  RunConfig,
  | "account"
  | "constraint"
  | "device"
  | "elastic"
  | "exclusive"
  | "gpus"
  | "maxNodes"
  | "minNodes"
  | "nodes"
  | "partition"
  | "qos"
  | "rejoinTimeoutMs"
  | "sbatchArg"
  | "threadsPerWorker"
  | "time"
>;

/** The script that `sbatch` gets: readable, and good for being submitted again by hand. */
export function batchScript(config: BatchSettings, place: BatchPlace): string {
  const { home, job, logs, program, runId, version } = place;
  const options = {
    "job-name": `coord-${runId}`,
    nodes: config.nodes,
    "ntasks-per-node": 1,
    "cpus-per-task": config.gpus * config.threadsPerWorker,
    ...(config.device === "cpu" ? {} : { gres: `gpu:${config.gpus}` }),
    partition: config.partition,
    time: config.time,
    account: config.account,
    qos: config.qos,
    constraint: config.constraint,
    output: shellWord(`${logs}/slurm-%j.log`),
    "open-mode": "append",
    signal: `B:USR1@${warningSeconds}`,
  };
  const directives = [
    ...Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`])),
    "--requeue",
    // An elastic run goes on when a node fails; without this Slurm would end the whole job.
    ...(elasticityOf(config) ? ["--no-kill"] : []),
    ...(config.exclusive ? ["--exclusive"] : []),
    // Last: of an option given twice, sbatch takes the last.
    ...config.sbatchArg,
  ];
  const command = program.map(shellWord).join(" ");
  return `#!/usr/bin/env bash
${directives.map((directive) => `#SBATCH ${directive}`).join("\n")}

# Run ${runId}, written by coord ${version}. The coordinator runs on the job's first node and has an agent started on each
# node by srun. \`sbatch\` with this file, or \`coord resume ${runId}\`, submits it again: the run goes on at its newest
# checkpoint. What an earlier attempt may still be doing somewhere is refused, since each has a generation of its own.

export COORD_RUN_ID=${shellWord(runId)}
export COORD_HOME=${shellWord(home)}
echo "$SLURM_JOB_ID" >${shellWord(job)} || exit 2

# ${warningSeconds} s before the time limit (USR1), or when it wants the nodes back (TERM), Slurm asks: write a checkpoint and end with 75.
coordinator=
trap '[ -n "$coordinator" ] && kill -TERM "$coordinator" 2>/dev/null' USR1 TERM

crashes=0
# \`coord resume --from\` goes back once, not at each start.
from=()
[ -n "\${COORD_RESUME_FROM:-}" ] && [ "\${SLURM_RESTART_COUNT:-0}" -eq 0 ] && from=(--from "$COORD_RESUME_FROM")
while true; do
  ${command} "\${from[@]}" >>${shellWord(`${logs}/coordinator.log`)} 2>&1 &
  coordinator=$!
  from=()
  # wait returns for a signal, too.
  while kill -0 "$coordinator" 2>/dev/null; do wait "$coordinator"; done
  wait "$coordinator"
  code=$?
  # Above 128 a signal has killed it; 130 is coord's own word for "stopped by the user".
  if [ "$code" -gt 128 ] && [ "$code" -ne 130 ] && [ "$crashes" -lt ${maxCrashes} ]; then
    crashes=$((crashes + 1))
    echo "The coordinator was killed (exit code $code); starting it again." >&2
    continue
  fi
  break
done

# 75: worth retrying. Back into the queue, with the same number.
[ "$code" -eq 75 ] && scontrol requeue "$SLURM_JOB_ID" && sleep 60
exit "$code"
`;
}
