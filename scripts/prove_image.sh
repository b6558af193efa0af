#!/usr/bin/env bash
# Builds the Dockerfile and runs what comes out, where no container engine is: buildah with chroot
# isolation, on a base that debootstrap makes (Debian trixie with its own Python 3.13) in the place of
# the pinned python:3.13-slim-trixie. Not shown by this: the pinned base itself, and the engine's HEALTHCHECK
# timer (its command is run by hand).
#
#   sudo bash scripts/prove_image.sh FOLDER     (FOLDER keeps the base for the next time)
set -euo pipefail
folder=$(realpath "$1")
mkdir -p "$folder"
log="$folder/prove.log"
port=$(python3 -c "import socket; s = socket.create_server((\"127.0.0.1\", 0)); print(s.getsockname()[1])")
export port
: >"$log"
here() { buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"; }

if [ ! -e "$folder/base.tar" ]; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$folder/base" >>"$log"
    # What python:3.13-slim has: `python` first on the path. And this machine's certificates.
    ln -sf /usr/bin/python3 "$folder/base/usr/local/bin/python"
    cp /etc/ssl/certs/ca-certificates.crt "$folder/base/etc/ssl/certs/ca-certificates.crt"
    tar -C "$folder/base" -cf "$folder/base.tar" .
    rm -rf "$folder/base"
fi
printf 'FROM scratch\nADD base.tar /\nENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin\n' \
    >"$folder/base.Dockerfile"
here bud -q -f "$folder/base.Dockerfile" -t localhost/python-stand-in "$folder" >>"$log" 2>&1
started=$SECONDS
here bud --format docker --isolation chroot --build-arg PYTHON_IMAGE=localhost/python-stand-in \
    -t ai-gateway . >>"$log" 2>&1
echo "built in: $((SECONDS - started)) s"

container=$(here from localhost/ai-gateway)
root=$(here mount "$container")
trap 'here rm "$container" >/dev/null' EXIT
echo "size of what is added: $(du -sh "$root/opt/ai-gateway" | cut -f1)"
here inspect --type image ai-gateway >"$folder/image.json"
echo "bill of materials: $(tr -d '\n' <"$root/usr/share/sbom/ai-gateway.cdx.json")"

# As an engine would with --read-only --tmpfs /tmp and a volume for state: mounts of its own, no root.
cat >"$folder/inside.sh" <<'INSIDE'
set -e
root=$1; shift
mount --bind "$root" "$root"; mount -o remount,ro,bind "$root"
mount -t tmpfs -o uid=10001,gid=10001,size=64m tmpfs "$root/var/lib/ai-gateway"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
cd "$root"
exec chroot --userspec=10001:10001 "$root" env -i \
    PATH=/opt/ai-gateway/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT="$port" \
    ACCESS=until-keys DATA_DIR=/var/lib/ai-gateway "$@"
INSIDE
inside() { unshare -m bash "$folder/inside.sh" "$root" "$@"; }

echo "version: $(inside ai-gateway --version)"
echo "user: $(inside id)"
echo "writes to its root: $(inside sh -c '! touch /x /opt/ai-gateway/x 2>/dev/null' && echo refused)"
said=$(inside ACCESS=auto ai-gateway serve 2>&1) && echo "without a key, ACCESS=auto: served" ||
    echo "without a key, ACCESS=auto: refused ($said)"
unshare -m bash "$folder/inside.sh" "$root" ENDPOINT_GRACE=0 ai-gateway serve >"$folder/serve.log" 2>&1 &
serving=$!
for _ in $(seq 100); do
    curl -sf -o /dev/null http://127.0.0.1:$port/health && break
    sleep 0.1
done
echo "health: $(curl -sf http://127.0.0.1:$port/health)"
call='{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}'
echo "a call: $(curl -sf "http://127.0.0.1:$port/v1/chat/completions" --json "$call" | grep -o simulator | head -1)"
echo "memory: $(grep VmRSS /proc/$serving/status | tr -s '\t ' ' ')"
# The HEALTHCHECK's own words.
check=$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["Docker"]["config"]["Healthcheck"]["Test"][3])' "$folder/image.json")
echo "health check: $(inside python -c "$check" && echo passed)"
# What the trimmed libraries are for: a signature for Bedrock, and nearest vectors.
echo "signs for Bedrock: $(inside AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b python -c '
import asyncio
from ai_gateway.upstream.signing import AwsSigner
headers = asyncio.run(AwsSigner(service="bedrock", region="eu-west-1").headers("https://x/y", b"{}"))
print(dict(headers)[b"authorization"].split()[0].decode())')"
echo "finds by meaning: $(inside python -c '
from ai_gateway.caching.semantic.index import SEARCHED_IN_FULL, Item, VectorIndex, unit
index = VectorIndex(2 * SEARCHED_IN_FULL)
for n in range(SEARCHED_IN_FULL + 1):
    index.add(Item(str(n), b"", "", 0.0), unit([1.0, n, n * n]))
print(index.nearest(b"", unit([1.0, 7, 49]), 1)[0].item.key)')"
kill -TERM "$serving"
wait "$serving" && echo "end by SIGTERM: 0" || echo "end by SIGTERM: $?"
