# Completion of ngkhook(8) for bash; installed as
# share/bash-completion/completions/ngkhook.
#
# The nodes there are, and where their hooks lead, are asked of the daemon.

_ngkhook_paths() {
    local base=${1%"${1##*[:.]}"} hook
    local program=(ngkctl ${2:+-s "$2"})
    case $base in
    '')
        "${program[@]}" list -n |
            sed -n -e '/^  Name: ngk[a-z]*[0-9]* /d' -e 's/^  Name: \(.*[^ ]\)  *Type: .*/\1:/p'
        ;;
    .) ;;
    *)
        "${program[@]}" show "${base%.}" | sed -e 1,3d -e 's/^  //' -e 's/ .*//' |
            while read -r hook; do echo "$base$hook"; done
        ;;
    esac 2>/dev/null </dev/null
}

_ngkhook() {
    local words word='' socket='' path=0 i
    # shellcheck disable=SC2162 # backslashes are as the shell reads them
    read -a words <<<"${COMP_LINE:0:COMP_POINT}"
    if [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]]; then
        word=${words[-1]}
        unset 'words[-1]'
    fi
    local before=${words[-1]}
    for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -s | --socket) socket=${words[++i]} ;;
        --socket=*) socket=${words[i]#*=} ;;
        -[bmnt] | --bytes | --message | --packets | --time) ((++i)) ;;
        -*) ;;
        *) path=1 ;;
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
        case $before:$word in
        -s:* | --socket:*) compgen -f -- "$word" ;;
        -[bmnt]:* | --bytes:* | --message:* | --packets:* | --time:*) ;;
        *:-*)
            printf '%s\n' -a -L -x -b -d -i -l -m -n -s -S -t -h --ascii --lines --hex --bytes \
                --debug --no-input --loop --message --packets --socket --stdin-out --time \
                --version --help
            ;;
        *) ((path)) || _ngkhook_paths "$word" "$socket" ;;
        esac | sort -u
    )
    return 0
}

complete -F _ngkhook ngkhook
