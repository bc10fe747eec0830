#!/usr/bin/env bash
# Hosts for tests: network namespaces joined by a bridge, each with an address, a host name, an sshd and a COORD_HOME of
# its own. Needs root, iproute2 and openssh-server.
#   hosts.sh check                 ends with 0 where they can be made
#   hosts.sh up DIR COUNT          makes them; DIR/addresses lists one per line, DIR/ssh_config is for `ssh -F`
#   hosts.sh boot DIR N            starts the sshd of host N (from 1)
#   hosts.sh crash DIR N           ends all processes of host N at once, as a power cut does
#   hosts.sh cable DIR N up|down   plugs host N's network cable in or out
#   hosts.sh rate DIR N RATE       limits what host N receives, for example 20mbit
#   hosts.sh loss DIR N PERCENT [WAY]  drops that part of the packets that reach host N (WAY input) or leave it (output)
#   hosts.sh down DIR              ends and removes everything
set -euo pipefail

command=${1:?}
directory=${2:-}
namespace() { echo "$(cat "$directory/tag")h$1"; }

case $command in
check)
  [ "$(id -u)" = 0 ] || { echo "needs root"; exit 1; }
  for program in ip ssh ssh-keygen tc nft /usr/sbin/sshd; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 1; }
  done
  probe=coord-probe-$$
  ip netns add $probe 2>/dev/null || { echo "network namespaces are not allowed here"; exit 1; }
  ip netns del $probe
  ;;
up)
  count=${3:?}
  mkdir -p "$directory" /run/sshd
  tag=co$(od -An -N2 -tx1 /dev/urandom | tr -d ' \n')
  network=10.$((RANDOM % 100 + 100)).$((RANDOM % 250 + 1))
  echo "$tag" >"$directory/tag"
  echo "$count" >"$directory/count"
  ip link add "${tag}br" type bridge
  ip addr add "$network.254/24" dev "${tag}br"
  ip link set "${tag}br" up
  ssh-keygen -q -t ed25519 -N '' -f "$directory/id"
  : >"$directory/addresses"
  : >"$directory/known_hosts"
  for number in $(seq "$count"); do
    host=$directory/$number
    name=$(namespace "$number")
    mkdir -p "$host/home"
    ip netns add "$name"
    ip link add "$name" type veth peer name eth0 netns "$name"
    ip link set "$name" master "${tag}br" up
    ip -n "$name" addr add "$network.$number/24" dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" link set lo up
    ssh-keygen -q -t ed25519 -N '' -f "$host/key"
    echo "$network.$number $(cut -d' ' -f1,2 "$host/key.pub")" >>"$directory/known_hosts"
    echo "$network.$number" >>"$directory/addresses"
    cat >"$host/sshd_config" <<CONFIG
ListenAddress $network.$number
HostKey $host/key
AuthorizedKeysFile $directory/id.pub
PidFile $host/sshd.pid
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
SetEnv COORD_HOME=$host/home
CONFIG
    bash "$0" boot "$directory" "$number"
  done
  cat >"$directory/ssh_config" <<CONFIG
Host *
  User $(id -un)
  IdentityFile $directory/id
  IdentitiesOnly yes
  UserKnownHostsFile $directory/known_hosts
  StrictHostKeyChecking yes
CONFIG
  ;;
boot)
  host=$directory/$3
  # A host name of its own; the sshd goes into the background by itself.
  ip netns exec "$(namespace "$3")" unshare --uts sh -c \
    'hostname "$1"; exec /usr/sbin/sshd -f "$2/sshd_config" -E "$2/sshd.log"' sh "host$3" "$host" </dev/null >/dev/null 2>&1
  ;;
crash)
  # Twice: what was forked in between is gone, too.
  for _ in 1 2; do
    for pid in $(ip netns pids "$(namespace "$3")"); do kill -KILL "$pid" 2>/dev/null || true; done
  done
  ;;
cable)
  ip link set "$(namespace "$3")" "${4:?}"
  ;;
rate)
  tc qdisc replace dev "$(namespace "$3")" root tbf rate "${4:?}" burst 64kb latency 200ms
  ;;
loss)
  percent=${4:?} way=${5:-input}
  rule=
  if [ "$percent" -gt 0 ]; then
    rule="$([ "$way" = input ] && echo iif || echo oif) \"eth0\" numgen random mod 100 <= $((percent - 1)) drop"
  fi
  ip netns exec "$(namespace "$3")" nft -f - <<RULES
table inet loss
delete table inet loss
table inet loss {
  chain $way {
    type filter hook $way priority 0;
    $rule
  }
}
RULES
  ;;
down)
  [ -e "$directory/tag" ] || exit 0
  for number in $(seq "$(cat "$directory/count")"); do
    bash "$0" crash "$directory" "$number" 2>/dev/null || true
    ip netns del "$(namespace "$number")" 2>/dev/null || true
  done
  ip link del "$(cat "$directory/tag")br" 2>/dev/null || true
  rm -f "$directory/tag"
  ;;
*)
  sed -n '2,12p' "$0"
  exit 2
  ;;
esac
