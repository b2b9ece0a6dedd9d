"""``help COMMAND``: what a command does, in some sentences."""

from __future__ import annotations

from textwrap import fill
from typing import Final

from ngksock.netgraph import display
from ngksock.netgraph.ngctl import Command

__all__ = ["DESCRIPTIONS", "explained"]

WIDTH: Final = 64

DESCRIPTIONS: Final = {
    "config": """Asks the node at "path" for its configuration in words, or, with arguments,
        sends them to be its configuration.  Few types have one; "inspect" tells which messages
        a node takes instead.""",
    "connect": """Links "hook" of the node at "path", by default this program's, to "peerhook" of
        the node at "relpath".  That is either absolute, as "name:", or begins at the first node.
        Both nodes exist already, and the hooks do not.""",
    "debug": """Without argument the debug level is shown.  A number sets it, "+" and "-" raise
        and lower it.  At 1 what could not be sent is logged, at 2 the messages that are sent and
        received too, at 3 their arguments too, as text and as bytes.""",
    "dot": """Draws all nodes and links, in the language of GraphViz, to the file or to standard
        output.  Each hook is a node of the drawing; with -c hooks are labels at the ends of the
        links.""",
    "help": """Lists the commands with a line for each, or explains the one that is named, by
        its name, an alias, or the beginning of either.""",
    "list": """Shows the name, type, id and number of hooks of every node; with -n of those that
        have a name; with -l what the hooks of each lead to, too.""",
    "mkpeer": """Makes a node of the type, and links "hook" of the node at "path", by default
        this program's, to its "peerhook".  Which hooks a type has tells "inspect type".  A node
        ends with its last hook: in a file, link what is to stay to something else before the
        file ends.""",
    "msg": """Sends a control message to the node at "path".  The arguments are in the form that
        "inspect path" shows with each message: numbers, quoted strings, structures as
        { name=value ... }, arrays as [ value ... ].  The reply is printed if there is one; one
        that may come late is waited for as long as the option -w says.""",
    "name": """Gives the node at "path" a name, in place of the one it may have.  From then on
        "name:" is a path to it.""",
    "read": """Carries out the commands in the file, up to the first that fails.  Files may read
        others.""",
    "rmhook": """Removes a hook of the node at "path", by default this program's, and with it the
        link and the hook at its other end.  A node that this leaves without hooks may end.  A
        hook that is not there is no error.""",
    "show": """Shows the name, type, id and number of hooks of the node at "path", and, unless -n
        is given, each hook, and the node and hook it leads to.""",
    "shutdown": """Ends the node at "path" and all its links.  Some nodes, such as a tee with two
        links, join their neighbours then.""",
    "status": """Shows what the node at "path" tells of its state, in words.  Not every type tells
        something.""",
    "types": """Lists the types that were used since the daemon began, and how many nodes of each
        there are.  With -v all that could be used, and where each comes from; one that cannot is
        listed with the reason.  "inspect type" explains any of them.""",
    "write": """Sends one packet out of a hook of this program's own node.  Its bytes are numbers,
        decimal, 0x hexadecimal or 0 octal, of -128 to 255; or, with -f, the first 8192 bytes of
        a file.""",
    "quit": """Ends the program, or a file that is being read, with success.""",
    "inspect": """Explains a type: the names its hooks may have, and each message with the shape of
        its arguments, what it does, its answer, and an example to copy.  The type is named, or
        is that of the node at "path"; no node of it need exist.  With -a the messages that all
        types share are explained too.""",
    "save": """Writes commands, to the file or to standard output, that make the running graph
        again: nodes, names, links, addresses, options, and what else was configured.  Left out
        are the nodes of programs, and connections that were accepted.""",
    "wait": """Ends once there is a node at "path", or fails after that many seconds.  As the
        command of the command line it waits for the daemon too.""",
    "watch": """Shows what each hook of the node at "path", or of all nodes, has sent and lost so
        far, and how much that is in a second.  It does so again every second, or as -i says,
        until Ctrl-C, or as often as -c says.""",
}
"""By command; read as one paragraph each."""


def explained(entry: Command) -> str:
    """Return what ``help`` prints of a command."""
    words = " ".join(DESCRIPTIONS[entry.name].split())
    indented = fill(
        words, WIDTH, initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{display.help_one(entry)}\nDescription:\n{indented}"
