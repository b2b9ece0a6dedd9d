"""Filter expressions, `udp port 53`, made programs by libpcap's compiler (cypcap, extra ``[bpf]``).

libpcap asks the system's resolver for the names of hosts and networks, which
may take seconds, and nothing else would happen meanwhile.  So they are refused
here; names of services and protocols, which stand in files, are not.
"""

from __future__ import annotations

import importlib
import re
from errno import EINVAL, EOPNOTSUPP
from types import ModuleType
from typing import Final

from ngksock.nodes.bpf.machine import MOST, Instruction

__all__ = ["compile_expression"]

_LONGEST: Final = 0x7FFFFFFF
_NO_NETMASK: Final = 0xFFFFFFFF
_ETHERNET: Final = 1
_PROGRAMS: Final = 8
"""What is not optimized may be so many times as long: to optimize that takes half a second."""
_OPERANDS: Final = 256
_CHARACTERS: Final = 8192
"""libpcap's time grows with the square of these: it takes a second or two for so many."""

_WITH_COLON: Final = re.compile(r"[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")  # addresses, and 6:2
_WORD: Final = re.compile(r"\\?[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9.])?")
_OPERAND: Final = re.compile(r"(?!(?:and|or|not)\b)[\w.:-]+", re.ASCII)
_NUMBER: Final = re.compile(r"0[xX][0-9A-Fa-f]+|[0-9]+")
_BEFORE_WORDS: Final = frozenset(
    ("action", "dir", "direction", "ifname", "llc", "on", "reason", "rset", "ruleset",
     "subtype", "type")
)  # fmt: skip
"""What follows these is a word of theirs, and never looked up."""
_BEFORE_NAMES: Final = ("port", "ip proto", "ether proto", "portrange")
"""What follows these may be a name that stands in a file of the system."""
_NO_SUCH_NAME: Final = ("unknown", "contains no hyphen", "is not a valid port")


def compile_expression(expression: str, dlt: int, snaplen: int) -> list[Instruction]:
    """
    Compile a filter expression (pcap-filter(7)).

    Args:
        expression: What to match; empty: everything.
        dlt: How packets begin, as libpcap numbers it: 1 Ethernet, 12 IP.
        snaplen: To how many bytes a packet that matches is cut.

    Raises:
        OSError: EOPNOTSUPP, cypcap is not installed; EINVAL, libpcap does
            not accept the expression, or it names a host.
    """
    if not 1 <= snaplen <= _LONGEST:
        raise OSError(EINVAL, f"snaplen {snaplen} is not in 1..{_LONGEST}")
    _check_text(expression)
    try:
        library = importlib.import_module("cypcap")
    except ImportError as error:
        raise OSError(
            EOPNOTSUPP,
            f"a filter expression needs cypcap ({error}); pip install ngksock[bpf], "
            "or use setdump with the output of tcpdump -ddd",
        ) from error
    _refuse_hosts(library, expression)
    if len(_compiled(library, expression, dlt, snaplen, False)) > _PROGRAMS * MOST:
        raise OSError(EINVAL, f"the filter makes a program of more than {MOST} instructions")
    return _compiled(library, expression, dlt, snaplen, True)


def _check_text(expression: str) -> None:
    """Refuse what libpcap would take long to refuse."""
    if not expression.isascii():
        raise OSError(EINVAL, "the filter has characters that are not ASCII")
    if len(expression) > _CHARACTERS:
        raise OSError(
            EINVAL, f"the filter has {len(expression)} characters, more than {_CHARACTERS}"
        )
    count = len(_OPERAND.findall(expression))
    if count > _OPERANDS:
        raise OSError(
            EINVAL,
            f"the filter has {count} words beside and, or and not, more than {_OPERANDS}: too many"
            f" for a program of {MOST} instructions",
        )


def _compiled(
    library: ModuleType, expression: str, dlt: int, snaplen: int, optimized: bool
) -> list[Instruction]:
    try:
        program = library.compile(dlt, snaplen, expression, optimized, _NO_NETMASK)
    except (library.Error, OverflowError) as error:
        raise OSError(EINVAL, f"libpcap says of the filter: {_words(error)}") from error
    return [Instruction(*step) for step in program]


def _words(error: Exception) -> str:
    """Return what libpcap says, without cypcap's number before it."""
    return str(error.args[-1]) if error.args else "an error"


def _refuse_hosts(library: ModuleType, expression: str) -> None:
    known, before = set[str](), ""
    for word in _WORD.findall(_WITH_COLON.sub(" ", expression)):
        if before not in _BEFORE_WORDS and word not in known and not _NUMBER.fullmatch(word):
            if _is_host(library, word):
                raise OSError(
                    EINVAL,
                    f'"{word[:64]}" in the filter is no key word, no service and no protocol; '
                    "names of hosts are not looked up, give their addresses",
                )
            known.add(word)
        before = word


def _is_host(library: ModuleType, word: str) -> bool:
    """
    Tell whether libpcap takes *word* for a name, and the system's files do not have it.

    Where it expects the name of a service or a protocol it looks into files
    alone, and complains of key words and addresses in other ways.
    """
    for place in _BEFORE_NAMES:
        try:
            library.compile(_ETHERNET, 1, f"{place} {word}", False, _NO_NETMASK)
        except library.Error as error:
            if not any(said in _words(error) for said in _NO_SUCH_NAME):
                return False
        else:
            return False
    return True
