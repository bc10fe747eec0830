#!/bin/sh
# Makes what deploy/k8s/base reads from secrets/: the run's tokens, a certificate authority for this run alone and the
# coordinator's certificate. Refuses to replace what is there: agents that run would no longer be let in.
set -eu
umask 077
directory=${1:-$(dirname "$0")/base/secrets}
mkdir -p "$directory"
cd "$directory"
for file in token viewer-token ca.crt tls.crt tls.key; do
  if [ -e "$file" ]; then
    echo "$directory/$file is there already; remove it to make a new one." >&2
    exit 2
  fi
done

private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'

# shellcheck disable=SC2086 # several words on purpose
openssl req -x509 $new_key -days 365 -subj '/CN=coord run authority' \
  -addext 'keyUsage=critical,keyCertSign' -keyout "$private/ca.key" -out "$private/ca.crt" 2>"$private/log" ||
  { cat "$private/log" >&2; exit 1; }
# shellcheck disable=SC2086
openssl req -new $new_key -subj '/CN=coord-coordinator' -keyout "$private/tls.key" -out "$private/tls.csr" 2>"$private/log" ||
  { cat "$private/log" >&2; exit 1; }
cat >"$private/extensions" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:coord-coordinator,DNS:localhost,IP:127.0.0.1
END
openssl x509 -req -in "$private/tls.csr" -CA "$private/ca.crt" -CAkey "$private/ca.key" -CAcreateserial -days 365 \
  -extfile "$private/extensions" -out "$private/tls.crt" 2>"$private/log" || { cat "$private/log" >&2; exit 1; }
for file in token viewer-token; do
  openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n' >"$private/$file"
done

# The authority's key is not kept: nobody can sign a second coordinator.
mv "$private/token" "$private/viewer-token" "$private/ca.crt" "$private/tls.crt" "$private/tls.key" .
echo "Made token, viewer-token, ca.crt, tls.crt and tls.key in $directory."
