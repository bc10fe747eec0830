#!/usr/bin/env bash
# Runs a program the way a container of the restricted profile would: this host's files below a read-only root, the given
# directories mounted into it, a process namespace of its own, user 1000, no capabilities. Needs root.
#   runContainer.sh SCRATCH USER SOURCE:TARGET[:ro] … -- PROGRAM ARGUMENT …
# SCRATCH is an empty directory. SOURCE may be a file, or "tmpfs".
set -euo pipefail
if [ "${1:-}" != --inside ]; then
  # A namespace's first process gets no signal that it has no handler for, and its end ends all others: as in a pod.
  exec unshare --mount --pid --fork --propagation private "$0" --inside "$@"
fi
shift
scratch=$1 user=$2
shift 2
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  IFS=: read -r source target mode <<<"$1"
  shift
  if [ "$source" = tmpfs ]; then
    mkdir -p "$root$target"
    mount -t tmpfs -o "uid=$user,gid=$user" tmpfs "$root$target"
  else
    if [ -d "$source" ]; then mkdir -p "$root$target"; else mkdir -p "$(dirname "$root$target")" && touch "$root$target"; fi
    mount --bind "$source" "$root$target"
    [ "$mode" != ro ] || mount -o remount,ro,bind "$root$target"
  fi
done
shift
mount -o remount,ro,bind "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
