#!/usr/bin/env bash
# Before going to a machine with a GPU and without network, in the project's root: benchmarks/gpu/prepare.sh ARCHIVE
# Puts what is needed there into .gpu/: a clone of this checkout as it is committed, pure-Python wheels that such a machine
# may lack, and an archive of CIFAR-10 in class folders (train/<class>/, test/<class>/). There: bash .gpu/src/benchmarks/gpu/evidence.sh
set -eu
archive=$(realpath "${1:?give the archive of CIFAR-10}")
cd "$(git rev-parse --show-toplevel)"
exclude=$(git rev-parse --git-common-dir)/info/exclude
grep -qx '/.gpu/' "$exclude" 2>/dev/null || { mkdir -p "$(dirname "$exclude")"; echo '/.gpu/' >> "$exclude"; }
out=${OUT:-.gpu}; mkdir -p "$out/whl"
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "prepare.sh: what is not committed stays here" >&2
rm -rf "$out/src"; git clone -q --depth 1 "file://$PWD" "$out/src"
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --abi none --platform any \
  -d "$out/whl" jsonargparse docstring-parser typeshed-client
cmp -s "$archive" "$out/$(basename "$archive")" || cp "$archive" "$out/"
du -sh "$out"
