#!/bin/sh
# Make sure that a container engine answers.
#
#   docker/engine.sh           use the engine that answers; where there is none, install and start one (root on Debian/Ubuntu)
#   docker/engine.sh status    say which engine answers; exit 1 if none does
#   docker/engine.sh stop      stop the engine, if this script started it
#
# "Answers" means what the harness itself would find: DOCKER_HOST, the current docker context, the usual socket,
# podman's sockets. An engine that was there before is never installed over, restarted or stopped.
set -eu

STATE=${HARNESS_ENGINE_STATE:-/run/sagemaker-harness}
WAIT_S=${HARNESS_ENGINE_WAIT_S:-90}

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$1"; shift; for line in "$@"; do printf '        %s\n' "$line" >&2; done; exit 7; }
have() { command -v "$1" >/dev/null 2>&1; }

# Ask a unix socket for /_ping without a docker client.
ping_socket() {
    [ -S "$1" ] || return 1
    if have curl; then
        curl --silent --fail --max-time 5 --unix-socket "$1" http://localhost/_ping >/dev/null 2>&1
    elif have python3; then
        python3 - "$1" <<'PY' >/dev/null 2>&1
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")
sys.exit(0 if b" 200 " in s.recv(256) else 1)
PY
    else
        return 1
    fi
}

# Print the address of the engine that answers.
answering() {
    if have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
        if [ -n "${DOCKER_HOST:-}" ]; then
            printf '%s\n' "$DOCKER_HOST"
        else
            docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || printf 'unix:///var/run/docker.sock\n'
        fi
        return 0
    fi
    # Somebody who names an engine wants that one, not another.
    case ${DOCKER_HOST:-} in
        '') ;;
        unix://*) ping_socket "${DOCKER_HOST#unix://}" && printf '%s\n' "$DOCKER_HOST" && return 0; return 1 ;;
        *) return 1 ;;
    esac
    for socket in /var/run/docker.sock "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock" \
                  "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock" /run/podman/podman.sock; do
        ping_socket "$socket" && printf 'unix://%s\n' "$socket" && return 0
    done
    return 1
}

how_to_install() {
    case $(uname -s) in
        Darwin) die "no container engine answers" \
            "Start Docker Desktop, colima (brew install colima docker; colima start) or podman machine, then try again." ;;
    esac
    if have systemctl && have dockerd; then
        die "no container engine answers, but dockerd is installed" "Start it: sudo systemctl start docker" \
            "and be in its group: sudo usermod -aG docker $(id -un)   (then log in again)"
    fi
    if have apt-get; then
        die "no container engine answers" "Install one: sudo apt-get install docker.io" \
            "and be in its group: sudo usermod -aG docker $(id -un)   (then log in again)" "or run this script as root."
    elif have dnf; then
        die "no container engine answers" "Install one: sudo dnf install podman && systemctl --user start podman.socket"
    fi
    die "no container engine answers" "Install Docker Engine (package docker or docker.io) or podman, start it, then try again."
}

apt_install() {
    # The client is a package of its own from Debian 13 on.
    client=$(apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || true)
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1" $client iptables ca-certificates
}

install_engine() {
    have dockerd && return 0
    [ "$(id -u)" = 0 ] && have apt-get || how_to_install
    say "installing docker.io from the distribution"
    log=$STATE/install.log
    if ! { apt_install docker.io || { apt-get update && apt_install docker.io; }; } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        die "docker.io could not be installed (whole log: $log)" "Install it by hand: apt-get install docker.io"
    fi
}

start_engine() {
    if [ -d /run/systemd/system ] && have systemctl; then
        say "starting docker through systemd"
        systemctl start docker && echo systemd >"$STATE/started"
    else
        say "starting dockerd (log: $STATE/dockerd.log)"
        rm -f /var/run/docker.pid  # of a dead daemon: none answers
        setsid dockerd --pidfile "$STATE/dockerd.pid" >"$STATE/dockerd.log" 2>&1 </dev/null &
        echo dockerd >"$STATE/started"
    fi
    waited=0
    until answering >/dev/null; do
        if [ $waited -ge "$WAIT_S" ]; then
            [ -f "$STATE/dockerd.log" ] && tail -n 15 "$STATE/dockerd.log" >&2
            stop_engine
            die "dockerd did not answer within $WAIT_S s" "Its log: $STATE/dockerd.log"
        fi
        waited=$((waited + 1))
        sleep 1
    done
}

stop_engine() {
    case $(cat "$STATE/started" 2>/dev/null || true) in
        systemd) systemctl stop docker.socket docker ;;
        dockerd)
            pid=$(cat "$STATE/dockerd.pid" 2>/dev/null || true)
            if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = dockerd ]; then
                kill "$pid"
                waited=0
                while kill -0 "$pid" 2>/dev/null; do
                    [ $waited -lt 30 ] || { kill -9 "$pid"; break; }
                    waited=$((waited + 1))
                    sleep 1
                done
            fi
            ;;
        *) say "not started by this script: left as it is"; return 0 ;;
    esac
    rm -f "$STATE/started" "$STATE/dockerd.pid"
    say "stopped"
}

case ${1:-start} in
    start)
        if found=$(answering); then
            say "answers at $found"
            exit 0
        fi
        [ -z "${DOCKER_HOST:-}" ] || die "DOCKER_HOST=$DOCKER_HOST does not answer" "Start that engine, or unset DOCKER_HOST."
        [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || how_to_install
        mkdir -p "$STATE"
        install_engine
        answering >/dev/null || start_engine
        say "answers at $(answering)"
        ;;
    status)
        found=$(answering) || { say "none answers"; exit 1; }
        say "answers at $found"
        ;;
    stop) stop_engine ;;
    *) say "usage: engine.sh [start|status|stop]"; exit 2 ;;
esac
