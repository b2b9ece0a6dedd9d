#compdef ngkctl ngkhook
# Completion of ngkctl(8) and ngkhook(8) for zsh; installed as
# share/zsh/site-functions/_ngkctl.
#
# What there is in the graph is asked of the daemon, by ngkctl itself.

_ngkctl_ask() {
    local socket=${opt_args[-s]:-${opt_args[--socket]}}
    command ngkctl ${socket:+-s} ${socket:+${(Q)socket}} "$@" 2>/dev/null </dev/null
}

_ngkctl_offer() { # the lines that are read, under a heading
    local -a offers=("${(@fu)$(cat)}")
    offers=(${offers:#})
    compadd "${@:2}" -X "$1" -a offers
}

_ngkctl_paths() { # the nodes there are, or what a path that is begun leads to
    local word=${(Q)PREFIX} base
    base=${word%${word##*[:.]}}
    case $base in
    '')
        _ngkctl_ask list -n |
            sed -n -e '/^  Name: ngk[a-z]*[0-9]* /d' -e 's/^  Name: \(.*[^ ]\)  *Type: .*/\1:/p' |
            _ngkctl_offer node -S ''
        ;;
    .) ;;
    *)
        _ngkctl_ask show "${base%.}" | sed -e 1,3d -e 's/^  //' -e 's/ .*//' -e "s|^|$base|" |
            _ngkctl_offer hook
        ;;
    esac
}

_ngkctl_hooks() { # of the node at a path
    _ngkctl_ask show "${(Q)1}" | sed -e 1,3d -e 's/^  //' -e 's/ .*//' | _ngkctl_offer hook
}

_ngkctl_types() { # those in use, and those that could be
    {
        _ngkctl_ask types | sed -e 1,3d -e 's/^ *//' -e 's/ .*//'
        _ngkctl_ask msg . available | sed 1d | grep -o '"[^"]*"' | tr -d '"'
    } | _ngkctl_offer type
}

_ngkctl_messages() { # of the node at a path
    _ngkctl_ask inspect -a "${(Q)1}" | sed -n 's/^  \([A-Za-z][^ ]*\).*/\1/p' |
        _ngkctl_offer message
}

_ngkctl_commands() {
    local -a commands=(
        'config:show or set the text configuration of a node'
        'connect:link hooks of two nodes'
        'debug:show or set the debug level'
        'dot:draw the graph for GraphViz'
        'help:list the commands, or explain one'
        'list:list all nodes'
        'mkpeer:make a node, linked to another'
        'msg:send a message to a node'
        'name:name a node'
        'read:run the commands in a file'
        'rmhook:remove a hook, and the link with it'
        'show:show a node and its hooks'
        'shutdown:end a node'
        'status:show the status of a node'
        'types:list the types in use'
        'write:send a packet out of a hook'
        'quit:end'
        'inspect:explain a type: its hooks, and its messages'
        'save:write commands that make this graph again'
        'wait:wait until a node is there'
        'watch:show the counters of hooks, and their rates'
    )
    _describe command commands
}

_ngkctl_argument() { # of the command that words begins with
    local number=$((CURRENT - 1)) before=${words[CURRENT - 1]}
    case ${words[1]} in
    config | name | shutdown | kill | rmnode) ((number == 1)) && _ngkctl_paths ;;
    status) if [[ $PREFIX == -* ]]; then compadd -- --json; else _ngkctl_paths; fi ;;
    connect | join) ((number <= 2)) && _ngkctl_paths ;;
    debug) compadd -- + - 0 1 2 3 ;;
    dot | graphviz | confdot) if [[ $PREFIX == -* ]]; then compadd -- -c; else _files; fi ;;
    help | \?) _ngkctl_commands ;;
    list | ls) compadd -- -l -n --json ;;
    types) compadd -- -v --json ;;
    mkpeer)
        if ((number == 1)); then
            _ngkctl_paths
            [[ $PREFIX == *[:.]* ]] || _ngkctl_types
        elif ((number == 2)) && [[ $before == *[:.]* ]]; then
            _ngkctl_types
        fi
        ;;
    msg | cmd)
        case $number in
        1) _ngkctl_paths ;;
        2) _ngkctl_messages $before ;;
        esac
        ;;
    read | source | . | save) _files ;;
    rmhook | disconnect)
        case $number in
        1) _ngkctl_paths ;;
        2) _ngkctl_hooks $before ;;
        esac
        ;;
    show | inquire | info) if [[ $PREFIX == -* ]]; then compadd -- -n --json; else _ngkctl_paths; fi ;;
    write | w) if [[ $before == -f ]]; then _files; elif ((number == 2)); then compadd -- -f; fi ;;
    inspect)
        if [[ $PREFIX == -* ]]; then
            compadd -- -a --json
        else
            _ngkctl_paths
            [[ $PREFIX == *[:.]* ]] || _ngkctl_types
        fi
        ;;
    wait)
        if [[ $PREFIX == -* ]]; then
            compadd -- -t
        elif [[ $before != -t ]]; then
            _ngkctl_paths
        fi
        ;;
    watch)
        if [[ $PREFIX == -* ]]; then
            compadd -- -c -i --json
        elif [[ $before != -[ci] ]]; then
            _ngkctl_paths
        fi
        ;;
    esac
}

_ngkctl() {
    local context state line
    typeset -A opt_args
    case $service in
    ngkctl)
        _arguments -C -S \
            '*'{-d,--debug}'[log what goes and comes]' \
            '(-f --file)'{-f,--file}'[read commands from a file]:file:_files' \
            '(-n --name)'{-n,--name}'[name of the own node]:name:' \
            '(-s --socket)'{-s,--socket}'[where the daemon listens]:socket:_files' \
            '(-w --wait)'{-w,--wait}'[wait so long for replies]:seconds:' \
            '--json[print JSON]' \
            '--version[print the version]' \
            '(-h --help)'{-h,--help}'[print a summary]' \
            '1:command:_ngkctl_commands' \
            '*::argument:_ngkctl_argument'
        ;;
    ngkhook)
        _arguments -s -S \
            '(-L --lines -x --hex)'{-a,--ascii}'[print a hex dump]' \
            '(-a --ascii -x --hex)'{-L,--lines}'[a line is a packet]' \
            '(-a --ascii -L --lines)'{-x,--hex}'[a line is a packet in hexadecimal]' \
            '(-b --bytes)'{-b,--bytes}'[most bytes of a packet]:bytes:' \
            '(-d --debug)'{-d,--debug}'[tell what is sent and received]' \
            '(-i --no-input)'{-i,--no-input}'[do not read standard input]' \
            '(-l --loop)'{-l,--loop}'[send back what comes]' \
            '(-m --message)'{-m,--message}'[send a message first]:message:' \
            '(-n --packets)'{-n,--packets}'[end after so many packets]:packets:' \
            '(-s --socket)'{-s,--socket}'[where the daemon listens]:socket:_files' \
            '(-S --stdin-out)'{-S,--stdin-out}'[write to descriptor 0]' \
            '(-t --time)'{-t,--time}'[end after so long a silence]:seconds:' \
            '--version[print the version]' \
            '(-h --help)'{-h,--help}'[print a summary]' \
            '1:path:_ngkctl_paths' \
            '2:hook:'
        ;;
    esac
}

_ngkctl "$@"
