# SPDX-License-Identifier: Apache-2.0
# Completion of ringhop(1) for bash.

_ringhop() {
    local commands='apply check drain drill follow followers follows join listen nodes owner plan presence publish recover ring state turn unfollow weight'
    local scenarios='node-crash pause rolling-restart scale-in scale-out zookeeper-outage'
    local globals='--config --json --timeout --help --version'
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word
    local -A options=(
        [apply]='--wait' [check]='' [drain]='--wait'
        [drill]='--channels --connections --keep --payload --rate --report --settle --workers'
        [follow]='--after' [followers]='--limit' [follows]='' [join]='--wait' [listen]='--after --count' [nodes]=''
        [owner]='--offline' [plan]='--add --remove --weight --offline' [presence]='' [publish]='--format --id --stdin --type' [recover]='--yes'
        [ring]='--offline' [state]='--type --if-version --if-absent' [turn]='--secret-file --ttl --user' [unfollow]=''
        [weight]='--wait'
    )
    COMPREPLY=()
    case $previous in
    -c | --config | --report | --secret-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --type)
        mapfile -t COMPREPLY < <(compgen -W 'text json binary' -- "$current")
        return
        ;;
    --format)
        mapfile -t COMPREPLY < <(compgen -W 'tab json' -- "$current")
        return
        ;;
    drill)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -W "$scenarios" -- "$current")
        return
        ;;
    state)
        mapfile -t COMPREPLY < <(compgen -W 'get set delete' -- "$current")
        return
        ;;
    -t | --timeout | --after | --count | --id | --add | --if-version | --channels | --connections | --limit | \
        --payload | --rate | --settle | --ttl | --user | --workers) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " $commands " == *" $word "* ]] && command=$word && break
    done
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$globals ${command:+${options[$command]}}" -- "$current")
    elif [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
    fi
}
complete -F _ringhop ringhop
