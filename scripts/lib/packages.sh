# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Installs Debian packages of scripts/packages, and only those that are missing, so that a machine
# that has them all needs neither apt nor root. Sourced after common.sh.

# packages_missing GROUP...: prints the packages of these groups that are not installed.
packages_missing() {
    local group package command installed
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
    while read -r group package command; do
        [[ -n $group && $group != '#'* && " $* " == *" $group "* ]] || continue
        [[ -n $command ]] && command -v "$command" >/dev/null && continue
        grep -qxF -- "$package" <<<"$installed" || printf '%s\n' "$package"
    done <"$root/scripts/packages"
}

# packages_install GROUP...: makes sure that these groups are installed.
packages_install() {
    local missing as_root=()
    command -v dpkg-query >/dev/null || {
        warn "not a Debian system: make sure that the packages of scripts/packages are there"
        return 0
    }
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0

    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "missing packages, and neither root nor sudo to install them: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${#missing[@]} packages: ${missing[*]}"
    # What comes as a service (redis, coturn) is not to be started, and is none of our processes if it is.
    local apt=("${as_root[@]}" env -u RINGHOP_TEST_RUN RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -q -y
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    local log
    log=$(mktemp)
    if ! "${apt[@]}" update >"$log" 2>&1 ||
        ! "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get failed; its last lines are above"
    fi
    rm -f "$log"
}
