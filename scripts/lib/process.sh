# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Processes that outlive the script that started them. Each has a file run/pids/NAME with its pid,
# its start time and the boot it belongs to: a number that the kernel has given to another process
# since, or before a reboot, is never mistaken for ours. Sourced after common.sh.

run=${RINGHOP_RUN:-$root/run}
readonly run

# process_birth PID: prints what tells this process from a later one with the same pid.
process_birth() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may hold anything; fields are counted after it.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] || return 1
    printf '%s %s\n' "${stat[19]}" "$(</proc/sys/kernel/random/boot_id)"
}

# process_pid NAME: prints the pid of our running process, or fails.
process_pid() {
    local pid birth
    [[ -f $run/pids/$1 ]] || return 1
    read -r pid birth <"$run/pids/$1" || return 1
    [[ $pid =~ ^[0-9]+$ && $(process_birth "$pid") == "$birth" && -n $birth ]] || return 1
    printf '%s\n' "$pid"
}

process_running() { process_pid "$1" >/dev/null; }

# process_names: prints the names of our processes that run.
process_names() {
    local file
    for file in "$run"/pids/*; do
        [[ -f $file ]] || continue
        process_running "${file##*/}" && printf '%s\n' "${file##*/}"
    done
    return 0
}

# process_start NAME COMMAND...: starts it in a session of its own, output to run/logs/NAME.log.
process_start() {
    local name=$1 pid
    shift
    mkdir -p "$run/pids" "$run/logs"
    setsid "$@" >>"$run/logs/$name.log" 2>&1 </dev/null &
    pid=$!
    printf '%s %s\n' "$pid" "$(process_birth "$pid")" >"$run/pids/$name"
    disown "$pid" 2>/dev/null || true
}

# process_stop NAME [SIGNAL] [SECONDS]: signals it and waits until it is gone; after SECONDS
# (default 10) it is killed. Succeeds when there is nothing to stop.
process_stop() {
    local name=$1 signal=${2:-TERM} seconds=${3:-10} pid
    if pid=$(process_pid "$name"); then
        kill "-$signal" "$pid" 2>/dev/null || true
        if ! wait_until "$seconds" process_gone "$name"; then
            warn "$name (pid $pid) did not stop in $seconds s: killing it"
            kill -KILL "$pid" 2>/dev/null || true
            wait_until 5 process_gone "$name" || die "$name (pid $pid) cannot be stopped"
        fi
    fi
    rm -f "$run/pids/$name"
}

process_gone() { ! process_running "$1"; }

# process_log_tail NAME: the last lines of its log, to standard error.
process_log_tail() {
    printf -- '--- last lines of %s:\n' "${run#"$root"/}/logs/$1.log" >&2
    tail -n 20 "$run/logs/$1.log" >&2 || true
}
