#!/usr/bin/env bash
# A Slurm cluster for tests: munged, slurmctld and two slurmd on this host, with two made-up GPUs each.
# Needs root, Debian's slurm-wlm and munge, and a mounted /sys/fs/cgroup.
#   slurm.sh check            ends with 0 where it can be started
#   slurm.sh up DIR           starts it; SLURM_CONF=DIR/slurm.conf is what sbatch and the others need
#   slurm.sh node DIR N       starts the slurmd of node N (1 or 2) again
#   slurm.sh crash DIR N      ends the slurmd of node N and everything that it had started, as a power cut does
#   slurm.sh down DIR         ends and removes everything
set -euo pipefail

command=${1:?}
directory=${2:-}
pid_of() { cat "$directory/$1.pid" 2>/dev/null || true; }
children() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null || true); do children "$child"; echo "$child"; done
}
# A slurmstepd is nobody's child; the log that it writes tells whose it is.
steps_of() {
  for pid in $(pgrep -x slurmstepd || true); do
    if readlink "/proc/$pid"/fd/* 2>/dev/null | grep -qx "$directory/n$1.log"; then children "$pid"; echo "$pid"; fi
  done
}
stop() { for pid in "$@"; do kill -KILL "$pid" 2>/dev/null || true; done; }

case $command in
check)
  [ "$(id -u)" = 0 ] || { echo "needs root"; exit 1; }
  for program in munged slurmctld slurmd sbatch srun scancel; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 1; }
  done
  [ -n "$(ls /sys/fs/cgroup 2>/dev/null)" ] || { echo "/sys/fs/cgroup is not mounted"; exit 1; }
  ;;
up)
  mkdir -p "$directory"/state "$directory"/spool.n1 "$directory"/spool.n2
  dd if=/dev/urandom of="$directory/munge.key" bs=128 count=1 status=none
  chmod 600 "$directory/munge.key"
  for number in 1 2; do
    for gpu in 0 1; do mknod "$directory/gpu$number-$gpu" c 1 3; done
  done
  read -r control first second < <(node -e '
    const servers = [0, 1, 2].map(() => require("net").createServer().listen(0));
    let open = 3;
    for (const server of servers) server.on("listening", () => {
      if (--open === 0) { console.log(servers.map((s) => s.address().port).join(" ")); servers.forEach((s) => s.close()); }
    });')
  cat >"$directory/slurm.conf" <<CONFIG
ClusterName=coord
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$control
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job may start again when its old credential has expired.
AuthInfo=socket=$directory/munge.socket,cred_expire=5
StateSaveLocation=$directory/state
SlurmctldPidFile=$directory/slurmctld.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdPidFile=$directory/%n.pid
SlurmdLogFile=$directory/%n.log
SlurmdSpoolDir=$directory/spool.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$first CPUs=8 RealMemory=4000 Gres=gpu:2
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$second CPUs=8 RealMemory=4000 Gres=gpu:2
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONFIG
  for number in 1 2; do
    echo "NodeName=n$number Name=gpu File=$directory/gpu$number-[0-1]"
  done >"$directory/gres.conf"
  munged --force --key-file="$directory/munge.key" --socket="$directory/munge.socket" \
    --pid-file="$directory/munged.pid" --log-file="$directory/munged.log" --seed-file="$directory/munged.seed"
  SLURM_CONF=$directory/slurm.conf slurmctld -f "$directory/slurm.conf"
  for number in 1 2; do bash "$0" node "$directory" "$number"; done
  for _ in $(seq 100); do
    [ "$(SLURM_CONF=$directory/slurm.conf sinfo --noheader --states=idle --format=%D 2>/dev/null)" = 2 ] && exit 0
    sleep 0.1
  done
  echo "the nodes did not come up" >&2
  exit 1
  ;;
node)
  SLURM_CONF=$directory/slurm.conf slurmd -N "n${3:?}" -f "$directory/slurm.conf"
  ;;
crash)
  daemon=$(pid_of "n${3:?}")
  # All at once: an agent that lives a moment longer than its workers starts them again, and those would survive.
  for _ in 1 2; do
    for pid in $daemon $(steps_of "$3"); do kill -STOP "$pid" 2>/dev/null || true; done
  done
  # shellcheck disable=SC2046
  stop $daemon $(steps_of "$3")
  ;;
down)
  [ -e "$directory/slurm.conf" ] || exit 0
  stop $(pid_of slurmctld)
  for number in 1 2; do bash "$0" crash "$directory" "$number"; done
  stop $(pid_of munged)
  rm -f "$directory/slurm.conf" "$directory"/gpu?-?
  ;;
*)
  sed -n '2,9p' "$0"
  exit 2
  ;;
esac
