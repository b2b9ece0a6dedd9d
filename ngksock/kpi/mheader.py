"""An mbuf with a packet header: the packet's length, its header, its tags.

The second of the five layers of an mbuf.  A tag's bytes are found by id and
type; ids come from `tag_id_find` and from nowhere else.
"""

from __future__ import annotations

import errno
from typing import Final

from ngksock.errors import oserror
from ngksock.kpi.mpkthdr import PktHdr, is_tag_id
from ngksock.kpi.msegment import Segment
from ngksock.kpi.mtype import M_OF_PACKET

__all__ = ["TAG_MAX", "Header"]

TAG_MAX: Final = 0xFFFF
"""The longest tag in bytes, and the highest type of one."""


class Header(Segment):
    """What an mbuf says of its packet."""

    __slots__ = ()

    def _header(self) -> PktHdr:
        """Return the header, or raise EINVAL when there is none."""
        if self.pkthdr is None:
            raise oserror(errno.EINVAL, "the mbuf has no packet header")
        return self.pkthdr

    @property
    def pkthdr_len(self) -> int:
        """The packet's length in bytes as its header says, ``mbuf_pkthdr_len``; 0 without one."""
        return 0 if self.pkthdr is None else self.pkthdr.len

    def pkthdr_setlen(self, length: int) -> None:
        """
        Write the packet's length into its header, ``mbuf_pkthdr_setlen``.

        Args:
            length: Bytes; not compared with the chain (`check` does that).

        Raises:
            OSError: EINVAL, no header.

        Source: kpi-socket.md §11.1.
        """
        self._header().len = length

    def pkthdr_adjustlen(self, amount: int) -> None:
        """
        Add to the packet's length in its header, ``mbuf_pkthdr_adjustlen``.

        Args:
            amount: Bytes, maybe negative; the result is not checked.

        Raises:
            OSError: EINVAL, no header.

        Source: kpi-socket.md §11.1.
        """
        self._header().len += amount

    def copy_pkthdr(self, src: Header) -> None:
        """
        Take over a copy of the header of *src*, ``mbuf_copy_pkthdr``.

        The length comes along, as do the flags that speak of the packet; the
        tags stay behind, as in `copym`.  A header this mbuf had is dropped,
        with its tags.

        Args:
            src: An mbuf with a header; unchanged, the caller's.

        Raises:
            OSError: EINVAL, *src* has no header.

        Source: kpi-socket.md §11.1; that tags stay behind is our choice.
        """
        self._check_live()
        header = src._header()
        self.pkthdr = header.copy(header.len)
        self._flags = (self._flags & ~M_OF_PACKET) | (src._flags & M_OF_PACKET)

    def tag_allocate(self, id: int, type: int, length: int) -> bytearray:
        """
        Give the packet a tag, ``mbuf_tag_allocate``.

        Args:
            id: From `tag_id_find`.
            type: 0 to 65535, the caller's own numbering.
            length: 1 to 65535 bytes.

        Returns:
            The tag's bytes, all zero, to be filled in; they belong to the
            packet and are not to be resized.

        Raises:
            OSError: EINVAL, no header, unknown id, type or length out of
                range.  EEXIST, there is one.

        Source: kpi-socket.md §11.1.
        """
        header = self._header()
        if not is_tag_id(id):
            raise oserror(errno.EINVAL, f"{id} is not the id of a tag: ask tag_id_find for one")
        if not 0 <= type <= TAG_MAX:
            raise oserror(errno.EINVAL, f"the type of a tag is 0 to 65535, not {type}")
        if not 1 <= length <= TAG_MAX:
            raise oserror(errno.EINVAL, f"a tag has 1 to 65535 bytes, not {length}")
        if header.tags is None:
            header.tags = {}
        if (id, type) in header.tags:
            raise oserror(errno.EEXIST, f"the packet has a tag {id}, {type} already")
        tag = header.tags[id, type] = bytearray(length)
        return tag

    def tag_find(self, id: int, type: int) -> bytearray:
        """
        Return a tag of the packet, ``mbuf_tag_find``.

        Args:
            id: From `tag_id_find`.
            type: The one it was allocated with.

        Returns:
            The tag's bytes themselves, as from `tag_allocate`.

        Raises:
            OSError: EINVAL, no header, or unknown id.  ENOENT, no such tag.

        Source: kpi-socket.md §11.1.
        """
        tags = self._header().tags
        if not is_tag_id(id):
            raise oserror(errno.EINVAL, f"{id} is not the id of a tag: ask tag_id_find for one")
        if tags is None or (id, type) not in tags:
            raise oserror(errno.ENOENT, f"the packet has no tag {id}, {type}")
        return tags[id, type]

    def tag_free(self, id: int, type: int) -> None:
        """
        Take a tag away, ``mbuf_tag_free``; silently if there is none.

        Args:
            id: From `tag_id_find`.
            type: The one it was allocated with.

        Source: kpi-socket.md §11.1.
        """
        if self.pkthdr is not None and self.pkthdr.tags is not None:
            self.pkthdr.tags.pop((id, type), None)
