#!/bin/sh
# Starts and stops a container engine on a machine that has none:
#
#   containers/engine.sh start   reuse a live engine, else install Debian's docker.io and start dockerd
#   containers/engine.sh stop    stop what `start` started; an engine that was there before is left alone
#
# Exit codes: 0 done; 75 this machine cannot have an engine, with the reason; 2 wrong usage.
set -eu

state_dir=${ENGINE_STATE_DIR:-/run/mnist-pipeline-engine}
pid_file=$state_dir/dockerd.pid
log_file=$state_dir/dockerd.log
start_seconds=60
stop_seconds=30

say() { echo "engine: $*" >&2; }
cannot() {
    say "$*"
    exit 75
}

answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

# A pid alone may have been reused by another process: its start time (field 22 of stat) identifies it.
identity() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
is_ours() { [ -s "$pid_file" ] && read -r pid born <"$pid_file" && [ "$(identity "$pid")" = "$born" ]; }

install_engine() {
    command -v apt-get >/dev/null || cannot "no engine answers and there is no apt-get to install docker.io with"
    say "installing docker.io"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io iptables; } \
        >"$state_dir/install.log" 2>&1 </dev/null ||
        cannot "installing docker.io failed: $(tail -n 1 "$state_dir/install.log") (whole log: $state_dir/install.log)"
}

start() {
    if version=$(answers); then
        say "reusing the engine that answers (version $version)"
        return
    fi
    [ "$(id -u)" = 0 ] || cannot "no engine answers and only root can start one (uid is $(id -u))"
    mkdir -p "$state_dir"
    # A second dockerd would delete the bridge of the first one.
    if other=$(pgrep -x dockerd | head -n 1) && [ -n "$other" ] && ! is_ours; then
        cannot "a dockerd runs already (pid $other) but does not answer on ${DOCKER_HOST:-the default socket}"
    fi
    if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then install_engine; fi
    if ! is_ours; then
        setsid dockerd </dev/null >"$log_file" 2>&1 &
        echo "$! $(identity "$!")" >"$pid_file"
    fi
    waited=0
    until version=$(answers); do
        is_ours || cannot "dockerd ended: $(tail -n 1 "$log_file") (whole log: $log_file)"
        [ "$waited" -lt "$start_seconds" ] || {
            stop
            cannot "dockerd did not answer within $start_seconds s (log: $log_file)"
        }
        sleep 1
        waited=$((waited + 1))
    done
    say "started dockerd $version (pid $(cut -d' ' -f1 "$pid_file"), log: $log_file)"
}

stop() {
    if ! is_ours; then
        say "nothing to stop: no running engine was started from here"
        rm -f "$pid_file"
        return
    fi
    read -r pid born <"$pid_file"
    kill "$pid"
    waited=0
    while is_ours; do
        [ "$waited" -lt "$stop_seconds" ] || {
            say "dockerd (pid $pid) still runs $stop_seconds s after SIGTERM"
            exit 1
        }
        sleep 1
        waited=$((waited + 1))
    done
    rm -f "$pid_file"
    say "stopped dockerd (pid $pid)"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
