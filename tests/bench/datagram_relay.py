"""The plain Twisted way to copy datagrams: the peer ``twisted-datagram`` of peers.json.

``datagram_relay.py LISTEN TARGET...``: every datagram for 127.0.0.1:LISTEN goes
to each 127.0.0.1:TARGET.
"""

import socket
import sys
from typing import Any, cast

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port


class Relay(DatagramProtocol):
    def __init__(self, targets: list[tuple[str, int]]) -> None:
        self.targets = targets

    def startProtocol(self) -> None:
        self.port = cast(Port, self.transport)
        self.port.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4194304)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        for target in self.targets:
            self.port.write(datagram, target)


def main() -> None:
    """Relay until killed."""
    from twisted.internet import reactor as chosen

    reactor: Any = chosen
    listen, *targets = (int(word) for word in sys.argv[1:])
    relay = Relay([("127.0.0.1", port) for port in targets])
    reactor.listenUDP(listen, relay, interface="127.0.0.1", maxPacketSize=65536)
    reactor.run()


if __name__ == "__main__":
    main()
