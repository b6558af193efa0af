#!/usr/bin/env bash
# dist/: wheel and sdist, built twice and the same to the byte; the bill of materials of what the wheel
# runs with, as locked; SHA256SUMS.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --pretty=%ct 2>/dev/null || echo 315532800)}"
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

rm -rf dist
.venv/bin/python -m hatchling build -d dist
.venv/bin/python -m hatchling build -d "$again" >/dev/null
diff -r dist "$again"
.venv/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
    --output-format JSON --output-file dist/ai-gateway.cdx.json requirements/run.txt
cd dist
sha256sum -- * >SHA256SUMS
cat SHA256SUMS
