# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What all scripts share: where the project is, how to speak, how to stop.
# Sourced, never run. Sets: root (the project's folder).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root

# shellcheck disable=SC2034 # not every script uses every colour
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
    readonly bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    readonly bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }

# A heading, set off from what stood before.
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die MESSAGE: ends the script with exit code 1.
die() {
    printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
    exit 1
}

# wait_until SECONDS COMMAND...: polls COMMAND until it succeeds; fails when time is up.
wait_until() {
    local deadline_us=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        ((${EPOCHREALTIME/[.,]/} < deadline_us)) || return 1
        sleep 0.05
    done
}

# port_taken PORT: whether something on this machine listens on the TCP port.
port_taken() {
    local hex
    printf -v hex '%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 3) == port { found = 1 }
                            END { exit !found }'
}
