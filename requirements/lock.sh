#!/bin/sh
# Locks every requirements/*.in with hashes; `--check` compares only, and names what is out of date.
# dev holds everything; the others are held to its versions, so that one environment can grow from another
# and the images run what the tests ran.
set -eu
cd "$(dirname "$0")/.."
check=${1:-}
stale=0

lock() {  # lock NAME "PARTS" [OPTIONS]; a part is a requirements/*.in, and names only what is its own
    name=$1
    # shellcheck disable=SC2086  # PARTS are words
    sources=$(printf 'requirements/%s.in ' $2)
    shift 2
    out=requirements/$name.txt
    [ -z "$check" ] || { cp "$out" "$scratch/$name.txt"; out=$scratch/$name.txt; }
    # Reading what a source package needs runs its build.
    # shellcheck disable=SC2086  # so are these
    uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
        --python-version 3.11 --build-constraints requirements/build.txt $sources "$@" --output-file "$out"
    cmp -s "$out" "requirements/$name.txt" || { echo "requirements/$name.txt is out of date: make fix" >&2; stale=1; }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
here="local ingest train evaluate export kfp"  # pyproject.toml's dependencies
lock uv uv
lock build build
lock dev "dev submit sign $here"
lock kfp kfp --no-deps -c requirements/dev.txt
lock local "$here" -c requirements/dev.txt
lock submit "submit $here" -c requirements/dev.txt
for name in export ingest sign; do
    lock "$name" "$name" -c requirements/dev.txt
done
lock evaluate "evaluate tensorflow-cpu" -c requirements/dev.txt
for variant in cpu gpu; do
    lock "train-$variant" "train tensorflow-$variant" -c requirements/dev.txt
done
exit $stale
