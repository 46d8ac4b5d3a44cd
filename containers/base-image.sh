#!/bin/sh
# Names the image that the Dockerfile builds on, on stdout, after making sure that the engine has it:
#
#   containers/base-image.sh          the Dockerfile's own ARG BASE_IMAGE, pulled by its digest; where no registry
#                                     answers a stand-in of another name, made from Debian's packages
#   containers/base-image.sh --find   only what is there already
#
# The stand-in has the same distribution and Python minor version, so that the same Dockerfile builds on it. Once it
# is there it is used: `docker rmi` it to have the real one pulled.
#
# Exit codes: 0 the image is there; 75 it cannot be had on this machine, with the reason; 2 wrong usage.
set -eu

image=$(sed -n 's/^ARG BASE_IMAGE=//p' "$(dirname "$0")/Dockerfile")
stand_in=mnist-pipeline-base:bookworm
pull_seconds=60
suite=bookworm # the Debian release in the image's name; its python3 is 3.11
packages=ca-certificates,python3,python3-venv,python3-pip

say() { echo "base image: $*" >&2; }
cannot() {
    say "$*"
    exit 75
}

find_image() {
    for candidate in "$image" "$stand_in"; do
        if docker image inspect "$candidate" >/dev/null 2>&1; then
            say "$candidate is there already"
            echo "$candidate"
            exit 0
        fi
    done
}

make_stand_in() {
    [ "$(id -u)" = 0 ] || cannot "$image cannot be pulled, and only root can make a stand-in (uid is $(id -u))"
    work_dir=$(mktemp -d)
    trap 'rm -rf "$work_dir"' EXIT
    if ! command -v mmdebstrap >/dev/null; then
        command -v apt-get >/dev/null ||
            cannot "$image cannot be pulled and there is no apt-get to install mmdebstrap with"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap; } \
            >"$work_dir/install.log" 2>&1 </dev/null ||
            cannot "installing mmdebstrap failed: $(tail -n 1 "$work_dir/install.log")"
    fi
    say "$image cannot be pulled: making a stand-in from Debian packages"
    # Like the real image: python and pip on the path, pip may install system-wide, no documentation.
    # shellcheck disable=SC2016  # $1 is the new root, which mmdebstrap passes to each hook
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
        --customize-hook='ln -s /usr/bin/python3 "$1"/usr/local/bin/python' \
        --customize-hook='ln -s /usr/bin/python3 "$1"/usr/local/bin/python3' \
        --customize-hook='ln -s /usr/bin/pip3 "$1"/usr/local/bin/pip' \
        --customize-hook='ln -s /usr/bin/pip3 "$1"/usr/local/bin/pip3' \
        "$suite" "$work_dir/base.tar" >"$work_dir/debootstrap.log" 2>&1 ||
        cannot "making the stand-in failed: $(tail -n 1 "$work_dir/debootstrap.log")"
    docker import --message "stand-in made from Debian packages" \
        --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'CMD ["python3"]' "$work_dir/base.tar" "$stand_in" >/dev/null
    say "made $stand_in ($(docker image inspect --format '{{.Size}}' "$stand_in") bytes)"
    echo "$stand_in"
}

case "${1:-}" in
'' | --find) ;;
*)
    echo "usage: $0 [--find]" >&2
    exit 2
    ;;
esac
docker version >/dev/null 2>&1 || cannot "no engine answers; start one with containers/engine.sh start"
find_image
[ -z "${1:-}" ] || cannot "there is neither $image nor $stand_in: run containers/base-image.sh"
if timeout "$pull_seconds" docker pull --quiet "$image" >/dev/null 2>&1; then
    say "pulled $image"
    echo "$image"
    exit 0
fi
make_stand_in
