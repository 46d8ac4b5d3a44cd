#!/bin/sh
# Locks every requirements/*.in with hashes; `--check` compares only, and names what is out of date.
# dev holds everything; the others are held to its versions, so that one environment can grow from another
# and the images run what the tests ran.
set -eu
cd "$(dirname "$0")/.."
check=${1:-}
stale=0

lock() {  # lock NAME SOURCES… [OPTIONS]
    name=$1
    shift
    out=requirements/$name.txt
    [ -z "$check" ] || { cp "$out" "$scratch/$name.txt"; out=$scratch/$name.txt; }
    # Reading what a source package needs runs its build.
    uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
        --python-version 3.11 --build-constraints requirements/build.txt "$@" --output-file "$out"
    cmp -s "$out" "requirements/$name.txt" || { echo "requirements/$name.txt is out of date: make fix" >&2; stale=1; }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
lock uv requirements/uv.in
lock build requirements/build.in
lock dev requirements/dev.in
lock kfp requirements/kfp.in --no-deps -c requirements/dev.txt
for name in local submit export ingest sign; do
    lock "$name" "requirements/$name.in" -c requirements/dev.txt
done
lock evaluate requirements/evaluate.in requirements/tensorflow-cpu.in -c requirements/dev.txt
for variant in cpu gpu; do
    lock "train-$variant" requirements/train.in "requirements/tensorflow-$variant.in" -c requirements/dev.txt
done
exit $stale
