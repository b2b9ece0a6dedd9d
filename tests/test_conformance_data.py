"""check_node_type and packets: what it finds about batches, and about the packets themselves."""

from __future__ import annotations

from errno import EIO

from ngksock.netgraph import Batch, Hook, Packet
from ngksock.plugin import NodeType
from ngksock.testing import check_node_type
from tests.test_conformance import CheckCase, Count


class CheckBatchesTests(CheckCase):
    def test_batch_refused(self) -> None:
        """OSError out of rcvbatch is a bug, and found."""

        class Broken(Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                raise OSError(EIO, "a batch is not refused")

        self.broken(Broken, "a node had a bug: OSError")

    def test_batch_order(self) -> None:
        """A batch that arrives in another order is found."""

        class Broken(Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(hook, Batch(reversed(batch)))

        self.broken(Broken, "received by")

    def test_batch_counters(self) -> None:
        """A batch of which losses are not counted is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                raise OSError(EIO, "lost")

            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                pass

        self.broken(Broken, "counters of")

    def test_batch_answers(self) -> None:
        """A batch that a node's own counters forget is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.limit += 1

            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                self.limit += bool(batch)

        self.broken(Broken, "status: limit")

    def test_batch_tags(self) -> None:
        """A batch of which tags, or what kind of packets they are, get lost is found."""

        class Untagged(Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(
                    hook, Batch(type(packet)(packet.data, (), packet.eof) for packet in batch)
                )

        class Unkind(Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(
                    hook, Batch(Packet(packet.data, packet.tags, packet.eof) for packet in batch)
                )

        self.broken(Untagged, "received by")
        self.broken(Unkind, "received by")

    def test_packet_changed(self) -> None:
        """A node that changes packets it was given is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                if packet.len == 8:
                    packet.data = bytes(8)
                super().rcvdata(hook, packet)

        self.broken(Broken, "packets were changed")

    def test_view(self) -> None:
        """A node that takes contents for bytes, which may be a view, is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                super().rcvdata(hook, packet.replace(packet.data + b""))  # type: ignore[operator]

        self.broken(Broken, "a node had a bug: TypeError")

    def test_packets(self) -> None:
        """Packets that the test gives are among those that are sent."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                assert bytes(packet) != b"the one packet that is not borne"

        check_node_type(NodeType("count", 5, Broken), examples=20)
        self.broken(Broken, "a node had a bug", packets=[b"the one packet that is not borne"])

    def test_batch_changed(self) -> None:
        """A node that changes the batch it was given is found."""

        class Broken(Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(hook, batch)
                batch.clear()

        self.broken(Broken, "a batch was changed")
