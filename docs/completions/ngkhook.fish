# Completion of ngkhook(8) for fish; installed as
# share/fish/vendor_completions.d/ngkhook.fish.
#
# The nodes there are, and where their hooks lead, are asked of the daemon.

function __ngkhook_ask
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

function __ngkhook_paths
    set -l base (string match -r '^.*[:.]' -- (commandline -ct))
    if test -z "$base"
        __ngkhook_ask list -n | string match -v -r '^  Name: ngk[a-z]*[0-9]+ ' |
            string replace -f -r '^  Name: (.*\S)\s+Type: .*' '$1:'
    else if test "$base" != .
        for hook in (__ngkhook_ask show (string replace -r '\.$' '' -- $base) | sed -e 1,3d -e 's/^  //' -e 's/ .*//')
            echo $base$hook
        end
    end
end

complete -c ngkhook -f
complete -c ngkhook -s a -l ascii -d 'Print a hex dump'
complete -c ngkhook -s L -l lines -d 'A line is a packet'
complete -c ngkhook -s x -l hex -d 'A line is a packet in hexadecimal'
complete -c ngkhook -s b -l bytes -x -d 'Most bytes of a packet'
complete -c ngkhook -s d -l debug -d 'Tell what is sent and received'
complete -c ngkhook -s i -l no-input -d 'Do not read standard input'
complete -c ngkhook -s l -l loop -d 'Send back what comes'
complete -c ngkhook -s m -l message -x -d 'Send a message first'
complete -c ngkhook -s n -l packets -x -d 'End after so many packets'
complete -c ngkhook -s s -l socket -r -F -d 'Where the daemon listens'
complete -c ngkhook -s S -l stdin-out -d 'Write to descriptor 0'
complete -c ngkhook -s t -l time -x -d 'End after so long a silence'
complete -c ngkhook -l version -d 'Print the version'
complete -c ngkhook -s h -l help -d 'Print a summary'
complete -c ngkhook -a '(__ngkhook_paths)' -d Path
