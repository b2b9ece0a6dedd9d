# Completion of ngkctl(8) for fish; installed as
# share/fish/vendor_completions.d/ngkctl.fish.
#
# What there is in the graph is asked of the daemon, by ngkctl itself.

function __ngkctl_ask
    set -l socket
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case -s --socket
                set socket -s $words[(math $i + 1)]
            case '--socket=*'
                set socket $words[$i]
        end
    end
    command ngkctl $socket $argv 2>/dev/null </dev/null
end

# The command and its arguments, as they are typed so far.
function __ngkctl_words
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case -f --file -n --name -s --socket -w --wait
                set -e words[1]
                set -q words[1]; and set -e words[1]
            case '-*'
                set -e words[1]
            case '*'
                printf '%s\n' $words
                return
        end
    end
end

function __ngkctl_bare
    test -z "$(__ngkctl_words)"
end

# Whether argument $argv[1] ("any": whichever) of one of the other commands is typed.
function __ngkctl_at
    set -l words (__ngkctl_words)
    test (count $words) -gt 0; or return 1
    test $argv[1] = any; or test (count $words) -eq $argv[1]; or return 1
    contains -- $words[1] $argv[2..]
end

function __ngkctl_paths
    set -l word (commandline -ct)
    set -l base (string match -r '^.*[:.]' -- $word)
    if test -z "$base"
        __ngkctl_ask list -n | string match -v -r '^  Name: ngk[a-z]*[0-9]+ ' |
            string replace -f -r '^  Name: (.*\S)\s+Type: .*' '$1:'
    else if test "$base" != .
        for hook in (__ngkctl_hooks (string replace -r '\.$' '' -- $base))
            echo $base$hook
        end
    end
end

# Of the node at a path; of the path before, if none is given.
function __ngkctl_hooks
    set -q argv[1]; or set argv (__ngkctl_words)[-1]
    __ngkctl_ask show $argv[1] | sed -e 1,3d -e 's/^  //' -e 's/ .*//'
end

function __ngkctl_types
    __ngkctl_ask types | sed -e 1,3d -e 's/^ *//' -e 's/ .*//'
    __ngkctl_ask msg . available | sed 1d | grep -o '"[^"]*"' | tr -d '"'
end

function __ngkctl_messages
    __ngkctl_ask inspect -a (__ngkctl_words)[-1] | sed -n 's/^  \([A-Za-z][^ ]*\).*/\1/p'
end

# Whether the word before is a path.
function __ngkctl_behind_path
    string match -q -r '[:.]' -- (__ngkctl_words)[-1]
end

complete -c ngkctl -f

complete -c ngkctl -n __ngkctl_bare -s d -l debug -d 'Log what goes and comes'
complete -c ngkctl -n __ngkctl_bare -s f -l file -r -F -d 'Read commands from a file'
complete -c ngkctl -n __ngkctl_bare -s n -l name -x -d 'Name of the own node'
complete -c ngkctl -n __ngkctl_bare -s s -l socket -r -F -d 'Where the daemon listens'
complete -c ngkctl -n __ngkctl_bare -s w -l wait -x -d 'Wait so long for replies'
complete -c ngkctl -n __ngkctl_bare -l json -d 'Print JSON'
complete -c ngkctl -n __ngkctl_bare -l version -d 'Print the version'
complete -c ngkctl -n __ngkctl_bare -s h -l help -d 'Print a summary'

set -l commands \
    config 'Show or set the text configuration of a node' \
    connect 'Link hooks of two nodes' \
    debug 'Show or set the debug level' \
    dot 'Draw the graph for GraphViz' \
    help 'List the commands, or explain one' \
    list 'List all nodes' \
    mkpeer 'Make a node, linked to another' \
    msg 'Send a message to a node' \
    name 'Name a node' \
    read 'Run the commands in a file' \
    rmhook 'Remove a hook, and the link with it' \
    show 'Show a node and its hooks' \
    shutdown 'End a node' \
    status 'Show the status of a node' \
    types 'List the types in use' \
    write 'Send a packet out of a hook' \
    quit 'End' \
    inspect 'Explain a type: its hooks, and its messages' \
    save 'Write commands that make this graph again' \
    wait 'Wait until a node is there' \
    watch 'Show the counters of hooks, and their rates'
while set -q commands[1]
    complete -c ngkctl -n __ngkctl_bare -a $commands[1] -d $commands[2]
    complete -c ngkctl -n '__ngkctl_at 1 help \?' -a $commands[1] -d $commands[2]
    set -e commands[1..2]
end

complete -c ngkctl -n '__ngkctl_at 1 config connect join mkpeer msg cmd name rmhook disconnect show inquire info shutdown kill rmnode status inspect wait watch' -a '(__ngkctl_paths)' -d Path
complete -c ngkctl -n '__ngkctl_at 2 connect join' -a '(__ngkctl_paths)' -d Path
complete -c ngkctl -n '__ngkctl_at 1 mkpeer inspect' -a '(__ngkctl_types)' -d Type
complete -c ngkctl -n '__ngkctl_at 2 mkpeer; and __ngkctl_behind_path' -a '(__ngkctl_types)' -d Type
complete -c ngkctl -n '__ngkctl_at 2 msg cmd' -a '(__ngkctl_messages)' -d Message
complete -c ngkctl -n '__ngkctl_at 2 rmhook disconnect' -a '(__ngkctl_hooks)' -d Hook
complete -c ngkctl -n '__ngkctl_at any read source . save dot graphviz confdot' -F
complete -c ngkctl -n '__ngkctl_at 1 debug' -a '+ - 0 1 2 3'
complete -c ngkctl -n '__ngkctl_at any list ls' -s l -d 'With hooks'
complete -c ngkctl -n '__ngkctl_at any list ls' -s n -d 'With a name'
complete -c ngkctl -n '__ngkctl_at any show inquire info' -s n -d 'Without hooks'
complete -c ngkctl -n '__ngkctl_at any dot graphviz confdot' -s c -d 'Compact'
complete -c ngkctl -n '__ngkctl_at any types' -s v -d 'Where each comes from'
complete -c ngkctl -n '__ngkctl_at any inspect' -s a -d 'With the messages all types share'
complete -c ngkctl -n '__ngkctl_at any wait' -s t -x -d 'Seconds at most'
complete -c ngkctl -n '__ngkctl_at any watch' -s c -x -d 'How often'
complete -c ngkctl -n '__ngkctl_at any watch' -s i -x -d 'Seconds between'
complete -c ngkctl -n '__ngkctl_at any write w' -s f -r -F -d 'The bytes of a file'
complete -c ngkctl -n '__ngkctl_at any inspect list ls show inquire info status types watch' -l json -d 'Print JSON'
