#!/usr/bin/env bash
# Builds a Kubernetes control plane and kubectl from their Go modules into DIRECTORY (about ten minutes on two cores, a
# few seconds when Go's build cache has it): buildControlPlane.sh DIRECTORY. Needs Go and a module proxy.
set -euo pipefail
kubernetes=1.34.4
etcd=3.6.6
target=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The module names its own parts by version 0.0.0 and finds them beside itself; here they come from the proxy instead.
printf 'module controlplane\ngo 1.24.0\nrequire k8s.io/kubernetes v%s\n' "$kubernetes" >go.mod
source=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
sed -nE 's,^\t(k8s\.io/[a-z0-9-]+) v0\.0\.0$,\1,p' "$source/go.mod" | while read -r part; do
  printf 'replace %s => %s v0.%s\n' "$part" "$part" "${kubernetes#1.}" >>go.mod
done
{
  printf '//go:build tools\n\npackage tools\n\nimport (\n'
  for program in kube-apiserver kube-controller-manager kube-scheduler kubectl; do printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "$program"; done
  printf ')\n'
} >tools.go
go mod tidy 2>tidy.log || { cat tidy.log >&2; exit 1; }
for program in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
  go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes" \
    -o "$target/$program" "k8s.io/kubernetes/cmd/$program"
done

mkdir etcd && cd etcd
printf 'module store\ngo 1.24.0\nrequire go.etcd.io/etcd/server/v3 v%s\n' "$etcd" >go.mod
printf '//go:build tools\n\npackage tools\n\nimport _ "go.etcd.io/etcd/server/v3"\n' >tools.go
go mod tidy 2>tidy.log || { cat tidy.log >&2; exit 1; }
go build -trimpath -ldflags '-s -w' -o "$target/etcd" go.etcd.io/etcd/server/v3

# What JobSet, Kubeflow Trainer and Prometheus Operator define, for checking the objects that use them.
cd "$work"
mkdir -p "$target/definitions"
for module in sigs.k8s.io/jobset@v0.10.1 github.com/kubeflow/trainer/v2@v2.1.0 github.com/prometheus-operator/prometheus-operator@v0.78.2; do
  directory=$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  find "$directory" -path '*crd*' -name '*.x-k8s.io_*.yaml' -o -path '*manifests/base/crds*' -name 'trainer.kubeflow.org_*.yaml' \
    -o -path '*/prometheus-operator-crd/*' -name '*_servicemonitors.yaml' |
    while read -r file; do install -m 644 "$file" "$target/definitions/"; done
done
