#!/usr/bin/env bash
# pyproject.toml and the pins of constraints.txt into lists of packages with the SHA-256 of every file that PyPI has of
# them, for all systems and Pythons at once. Needs uv and PyPI.
#   core.lock   what the library and the flows need;  test.lock   what the tests need, too
#   torch.lock  PyPI's build of torch and what it alone needs, CUDA's libraries among it: other indexes serve other builds,
#               whose hashes are others, so that make takes torch as the index has it
#   audit.lock  the tools of make audit
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
echo "setuptools>=77" > "$scratch/build.in" # builds the project itself
compile --constraint constraints.txt pyproject.toml "$scratch/build.in" -o "$scratch/all"
only_torch="$(grep -oE '^(torch|triton|cuda-[a-z0-9-]+|nvidia-[a-z0-9-]+)==' "$scratch/all" | tr -d =)"
without=()
for name in $only_torch; do without+=(--no-emit-package "$name"); done
compile --constraint constraints.txt "${without[@]}" pyproject.toml "$scratch/build.in" -o requirements/core.lock
compile --constraint constraints.txt "${without[@]}" --extra test pyproject.toml "$scratch/build.in" -o requirements/test.lock
awk -v names="$only_torch" 'BEGIN { n = split(names, list); for (i = 1; i <= n; i++) wanted[list[i]] }
  /^[a-z]/ { split($0, parts, "=="); shown = parts[1] in wanted } shown' "$scratch/all" > requirements/torch.lock
compile requirements/audit.in -o requirements/audit.lock
