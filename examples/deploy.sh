#!/usr/bin/env bash
# deploy.sh RELEASE: build incoming/RELEASE.tar.gz in a folder of its own, and have it serve. For a person, or for CI.
# deploy.sh: only remove the releases that nobody needs any more.
#
# It lies in the folder of config.toml. Its exit code is that of `frontdoor swap`; docs/deploy.md goes through the lines.
set -euo pipefail
cd "$(dirname "$0")"
release=${1:-}

exec 9>.deploy.lock
flock --nonblock 9 || { echo "another deploy is under way" >&2; exit 5; }

code=0
if [ -n "$release" ]; then
  [[ $release =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] || { echo "$release is no name for a version" >&2; exit 2; }
  folder=releases/$release
  if [ ! -e "$folder/.built" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    tar -xzf "incoming/$release.tar.gz" -C "$folder" --strip-components=1
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --requirement "$folder/requirements.txt"
    touch "$folder/.built"
  fi
  frontdoor swap "$release" --wait baked || code=$?
fi

status=$(frontdoor status --json) || exit $((code ? code : 3))
needed=$(python3 -c '
import json, sys
for door in json.load(sys.stdin)["doors"]:
    print((door["previous"] or "").partition("#")[0])
    for generation in door["generations"]:
        if generation["state"] not in ("stopped", "failed"):
            print(generation["version"])' <<<"$status")

failed=
[ "$code" != 4 ] || failed=$release
for old in $failed $(ls -t releases | tail -n +6); do
  grep -qxF -- "$old" <<<"$needed" || rm -rf -- "releases/$old"
done
exit "$code"
