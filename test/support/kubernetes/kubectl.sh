#!/usr/bin/env bash
# kubectl in front of LocalKubelet: exec, logs and cp, which a real API server would pass on to a kubelet, reach into the
# pods' processes; anything else is the real kubectl's. Needs root.
#   KUBECTL (the real one) KUBELET (LocalKubelet's directory) and COORD (what starts coord) come from the environment.
set -euo pipefail
verb= follow= namespace=default words=() command=()
original=("$@")
while [ $# -gt 0 ]; do
  case $1 in
  -n) namespace=$2; shift ;;
  -f) follow=yes ;;
  -it | -i | -t) ;;
  --) shift; command=("$@"); break ;;
  *) if [ -z "$verb" ]; then verb=$1; else words+=("$1"); fi ;;
  esac
  shift
done

pod_of() {
  case $1 in
  job/*) "$KUBECTL" get pods -n "$namespace" -l "job-name=${1#job/}" --sort-by=.metadata.creationTimestamp -o 'jsonpath={.items[-1:].metadata.name}' ;;
  *) echo "$1" ;;
  esac
}

inside() {
  local pod=$1 pid variables
  shift
  pid=$(tr -d ' ' <"/proc/$(cat "$KUBELET/pids/$pod")/task/$(cat "$KUBELET/pids/$pod")/children")
  mapfile -d '' variables <"/proc/$pid/environ"
  # shellcheck disable=SC2086 # several words
  if [ "$1" = coord ]; then shift; set -- $COORD "$@"; fi
  nsenter --target "$pid" --mount --pid --net --root -- env -i --chdir=/ "${variables[@]}" setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
}

case $verb in
exec)
  inside "$(pod_of "${words[0]}")" "${command[@]}"
  ;;
logs)
  pod=$(pod_of "${words[0]}")
  pid=$(cat "$KUBELET/pids/$pod")
  if [ -n "$follow" ]; then tail -n +1 --pid="$pid" -f "$KUBELET/logs/$pod.log"; else cat "$KUBELET/logs/$pod.log"; fi
  ;;
cp)
  mkdir -p "${words[1]}"
  inside "${words[0]%%:*}" tar cf - -C "${words[0]#*:}" . | tar xf - -C "${words[1]}"
  ;;
*)
  exec "$KUBECTL" "${original[@]}"
  ;;
esac
