#!/usr/bin/env bash
# deploy-container.sh RELEASE: run the image shop:RELEASE, and have it serve. deploy-container.sh: only remove the
# containers that nobody needs any more.
#
# It lies in the folder of config.toml. Its exit code is that of `frontdoor swap`; see docs/deploy.md.
set -euo pipefail
cd "$(dirname "$0")"
release=${1:-}

code=0
if [ -n "$release" ]; then
  owner=$(stat --format %u:%g run)
  mkdir -p "sock/$release"
  chown "$owner" "sock/$release"
  docker run --detach --name "shop-$release" --restart unless-stopped --user "$owner" \
    --volume "$PWD/sock/$release:/run/app" \
    --env FRONTDOOR_SOCKET=/run/app/app.sock --env "FRONTDOOR_VERSION=$release" "shop:$release"
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

for container in $(docker ps --all --filter 'name=^shop-' --format '{{.Names}}'); do
  version=${container#shop-}
  grep -qxF -- "$version" <<<"$needed" && continue
  docker stop --time 30 "$container"
  docker rm "$container"
  rm -rf -- "sock/$version"
done
exit "$code"
