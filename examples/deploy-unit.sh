#!/usr/bin/env bash
# deploy-unit.sh RELEASE: start app@RELEASE.service, and have it serve. deploy-unit.sh: only stop the units that nobody
# needs any more.
#
# As root. /srv/shop/releases/RELEASE is built already. Its exit code is that of `frontdoor swap`; see docs/deploy.md.
set -euo pipefail
release=${1:-}

code=0
if [ -n "$release" ]; then
  systemctl enable --now "app@$release.service"
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

for unit in $(systemctl list-units --all --plain --no-legend 'app@*.service' | cut -d ' ' -f 1); do
  version=${unit#app@}
  grep -qxF -- "${version%.service}" <<<"$needed" || systemctl disable --now "$unit"
done
exit "$code"
