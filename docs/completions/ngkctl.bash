# Completion of ngkctl(8) for bash; installed as
# share/bash-completion/completions/ngkctl.
#
# What there is in the graph is asked of the daemon, by ngkctl itself.

_ngkctl_ours='inspect save wait watch'
_ngkctl_commands="config connect debug dot help list mkpeer msg name read rmhook show shutdown
    status types write quit $_ngkctl_ours"
_ngkctl_aliases='join:connect graphviz:dot confdot:dot ls:list cmd:msg source:read .:read
    disconnect:rmhook inquire:show info:show kill:shutdown rmnode:shutdown exit:quit'

_ngkctl_ask() {
    "${_ngkctl_program[@]}" "$@" 2>/dev/null </dev/null
}

_ngkctl_nodes() { # but for those of programs like this one
    _ngkctl_ask list -n |
        sed -n -e '/^  Name: ngk[a-z]*[0-9]* /d' -e 's/^  Name: \(.*[^ ]\)  *Type: .*/\1:/p'
}

_ngkctl_hooks() { # of the node at a path
    _ngkctl_ask show "$1" | sed -e 1,3d -e 's/^  //' -e 's/ .*//'
}

_ngkctl_paths() { # the nodes there are, or what a path that is begun leads to
    local base=${1%"${1##*[:.]}"} hook
    case $base in
    '') _ngkctl_nodes ;;
    .) ;;
    *) _ngkctl_hooks "${base%.}" | while read -r hook; do echo "$base$hook"; done ;;
    esac
}

_ngkctl_types() { # those in use, and those that could be
    _ngkctl_ask types | sed -e 1,3d -e 's/^ *//' -e 's/ .*//'
    _ngkctl_ask msg . available | sed 1d | grep -o '"[^"]*"' | tr -d '"'
}

_ngkctl_messages() { # of the node at a path
    _ngkctl_ask inspect -a "$1" | sed -n 's/^  \([A-Za-z][^ ]*\).*/\1/p'
}

_ngkctl_full() { # the command that a word is, or abbreviates: those of ngctl come first
    local word=${1,,} name
    for name in $_ngkctl_commands $_ngkctl_aliases; do
        [[ ${name%:*} == "$word" ]] && echo "${name#*:}" && return
    done
    for name in ${_ngkctl_commands%"$_ngkctl_ours"} $_ngkctl_aliases $_ngkctl_ours; do
        [[ ${name%:*} == "$word"* ]] && echo "${name#*:}" && return
    done
    [[ $word != \? ]] || echo help
}

# Print what may stand as argument $2 of the command $1; $3 is the word
# before it, $4 what is typed of it.
_ngkctl_argument() {
    case $1:$2:$4 in
    list:*) echo '-l -n --json' ;;
    show:*:-*) echo '-n --json' ;;
    types:*) echo '-v --json' ;;
    status:*:-*) echo '--json' ;;
    inspect:*:-*) echo '-a --json' ;;
    dot:1:-*) echo '-c' ;;
    wait:*:-*) echo '-t' ;;
    watch:*:-*) echo '-c -i --json' ;;
    write:2:-*) echo '-f' ;;
    help:1:*) echo "$_ngkctl_commands" ;;
    debug:1:*) echo '+ - 0 1 2 3' ;;
    esac | tr -s ' ' '\n'
    case $1:$2:$3 in
    wait:*:-t | watch:*:-[ci]) ;;
    config:1:* | msg:1:* | name:1:* | rmhook:1:* | show:*:* | shutdown:1:* | status:1:* | \
        connect:[12]:* | wait:* | watch:*) _ngkctl_paths "$4" ;;
    mkpeer:1:*)
        _ngkctl_paths "$4"
        _ngkctl_types
        ;;
    mkpeer:2:*[:.]*) _ngkctl_types ;;
    inspect:*)
        _ngkctl_paths "$4"
        _ngkctl_types
        ;;
    msg:2:*) _ngkctl_messages "$3" ;;
    rmhook:2:*) _ngkctl_hooks "$3" ;;
    read:1:* | save:1:* | dot:[12]:* | write:3:-f) compgen -f -- "$4" ;;
    esac
}

_ngkctl() {
    # From the line itself, for bash breaks words at colons.
    local words word='' command='' argument=0 i
    # shellcheck disable=SC2162 # backslashes are as the shell reads them
    read -a words <<<"${COMP_LINE:0:COMP_POINT}"
    if [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]]; then
        word=${words[-1]}
        unset 'words[-1]'
    fi
    local _ngkctl_program=("${words[0]:-ngkctl}") before=${words[-1]}
    for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -s | --socket) _ngkctl_program+=(-s "${words[++i]}") ;;
        --socket=*) _ngkctl_program+=("${words[i]}") ;;
        -f | --file | -n | --name | -w | --wait) ((++i)) ;;
        -*) ;;
        *)
            command=$(_ngkctl_full "${words[i]}")
            argument=$((${#words[@]} - i))
            break
            ;;
        esac
    done
    COMPREPLY=()
    local offer
    while read -r offer; do
        [[ -n $offer && $offer == "$word"* ]] || continue
        [[ $offer == *: ]] && compopt -o nospace 2>/dev/null
        # Bash replaces what stands behind the last colon.
        [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && offer=${offer#"${word%:*}:"}
        COMPREPLY+=("$(printf %q "$offer")")
    done < <(
        if ((argument)); then
            _ngkctl_argument "$command" "$argument" "$before" "$word"
        else
            case $before:$word in
            -f:* | --file:* | -s:* | --socket:*) compgen -f -- "$word" ;;
            -n:* | --name:* | -w:* | --wait:*) ;;
            *:-*)
                printf '%s\n' -d -f -n -s -w -h --debug --file --name --socket --wait --json \
                    --version --help
                ;;
            *) printf '%s\n' $_ngkctl_commands ;;
            esac
        fi | sort -u
    )
    return 0
}

complete -F _ngkctl ngkctl
