"""What goes wrong while the service runs: it says so once, counts it, and lives on."""

from __future__ import annotations

import resource
import socket
import struct

from tests.integration.service import (
    DEADLINE,
    IntegrationCase,
    Service,
    free_port,
    port_of,
    receive,
    receive_all,
    until,
)

RESET = struct.pack("ii", 1, 0)

ECHO = """\
mkpeer listener boot boot
name boot door
mkpeer door: ksocket socket inet/stream/tcp
msg door: setscript {{ lines=[ "mkpeer echo back back" ] }}
msg door:socket setopt {{ so_reuseaddr=1 }}
msg door:socket bind inet/127.0.0.1:{}
msg door: start 128
"""
SIX_TO_FOUR = """\
mkpeer hub boot boot
name boot six
mkpeer six: ksocket in inet6/dgram/udp
msg six:in bind inet6/[::1]:{}
mkpeer six: ksocket out inet/dgram/udp
msg six:out connect inet/127.0.0.1:{}
"""


def reset(sock: socket.socket) -> None:
    """Close *sock* so that its peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class FaultTests(IntegrationCase):
    """Peers, backends and limits."""

    def forward(self, backend: int) -> tuple[Service, int]:
        """Start forward.ng; return it and its port."""
        port = free_port()
        return self.start(self.example("forward.ng", {8080: port, 9000: backend})), port

    def assert_works(self, port: int, server: socket.socket) -> None:
        """A new connection carries data both ways."""
        client = self.tcp(port)
        client.sendall(b"ping")
        connection = self.accept(server)
        data = b""
        while not data:
            try:
                data = receive(connection, 4)
            except ConnectionResetError:
                connection = self.accept(server)  # that was one that went before
        self.assertEqual(b"ping", data)
        connection.sendall(b"pong")
        connection.close()
        self.assertEqual(b"pong", receive_all(client))
        client.close()

    def assert_ends(self, sock: socket.socket) -> None:
        """The connection ends, in one way or the other; then it is closed."""
        sock.settimeout(DEADLINE)
        try:
            while sock.recv(1 << 18):
                continue
        except ConnectionResetError:
            sock.close()
        sock.close()

    def test_refused_backend(self):
        """A refused backend ends that connection, is logged, and hurts no later one."""
        backend = free_port()
        service, port = self.forward(backend)
        idle = service.descriptors
        client = self.tcp(port)
        self.assert_ends(client)
        line = service.wait_for(r'.*"msg \.:out connect.*ECONNREFUSED.*')
        self.assertIn(f"inet/127.0.0.1:{backend}", line)
        server = self.owned(socket.create_server(("127.0.0.1", backend)))
        self.assert_works(port, server)
        until(lambda: service.descriptors == idle, "descriptors to be given back")

    def test_resets(self):
        """A peer on either side that resets at any moment ends its own connection alone."""
        server = self.tcp_server()
        service, port = self.forward(port_of(server))
        idle = service.descriptors
        bystander = self.tcp(port)
        beyond = self.accept(server)
        block = bytes(200000)

        def nothing(near: socket.socket, far: socket.socket) -> None:
            """Reset at once."""

        def sent(near: socket.socket, far: socket.socket) -> None:
            near.sendall(b"x")

        def unread(near: socket.socket, far: socket.socket) -> None:
            near.setblocking(False)
            for _ in range(100):
                try:
                    near.send(block)
                except BlockingIOError:
                    break

        def half_closed(near: socket.socket, far: socket.socket) -> None:
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", far.recv(1))

        def other_half_closed(near: socket.socket, far: socket.socket) -> None:
            far.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", near.recv(1))

        def being_sent_to(near: socket.socket, far: socket.socket) -> None:
            unread(far, near)

        for before in (nothing, sent, unread, half_closed, other_half_closed, being_sent_to):
            for swapped in (False, True):
                client = self.tcp(port)
                connection = self.accept(server)
                near, far = (connection, client) if swapped else (client, connection)
                before(near, far)
                reset(near)
                self.assert_ends(far)
        bystander.sendall(b"still here")
        self.assertEqual(b"still here", receive(beyond, 10))
        bystander.close()
        beyond.close()
        self.assert_works(port, server)
        until(lambda: service.descriptors == idle, "descriptors to be given back")

    def test_gone_before_accepted(self):
        """Connections that are reset before anybody looks at them are no trouble."""
        server = self.tcp_server()
        service, port = self.forward(port_of(server))
        idle = service.descriptors
        for _ in range(50):
            reset(self.tcp(port))
        server.setblocking(False)

        def settled() -> bool:
            try:
                while True:
                    server.accept()[0].close()
            except BlockingIOError:
                return service.descriptors == idle

        until(settled, "descriptors to be given back")
        server.settimeout(DEADLINE)
        self.assert_works(port, server)

    def test_descriptor_limit(self):
        """At the descriptor limit connections wait, and are served when others have ended."""
        port = free_port()
        service = self.start(self.file("echo.ng", ECHO.format(port)))
        idle = service.descriptors
        hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (idle + 3, hard))
        clients = [self.tcp(port) for _ in range(6)]
        for number, client in enumerate(clients):
            client.sendall(bytes([number]))
        for number, client in enumerate(clients[:3]):
            self.assertEqual(bytes([number]), client.recv(1))
        service.wait_for("cannot accept a connection: .*waits in the backlog")
        for client in clients[:3]:
            client.close()
        for number, client in enumerate(clients[3:], 3):
            self.assertEqual(bytes([number]), client.recv(1))
            client.close()
        self.assertEqual(1, service.log.count("cannot accept"), service.log)
        until(lambda: service.descriptors == idle, "descriptors to be given back")

    def test_descriptor_limit_in_script(self):
        """At the limit a forwarder closes what it cannot serve, and serves again later."""
        server = self.tcp_server()
        service, port = self.forward(port_of(server))
        idle = service.descriptors
        hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (idle + 3, hard))
        self.assert_works(port, server)
        held = self.tcp(port)
        beyond = self.accept(server)
        refused = self.tcp(port)  # one descriptor is left, and it needs two
        self.assert_ends(refused)
        service.wait_for(r'"mkpeer ksocket out inet/stream/tcp".*EMFILE')
        held.sendall(b"still here")
        self.assertEqual(b"still here", receive(beyond, 10))
        held.close()
        beyond.close()
        until(lambda: service.descriptors == idle, "descriptors to be given back")
        self.assert_works(port, server)

    def test_datagram_too_long(self):
        """A datagram longer than the next socket takes is counted as EMSGSIZE, and gone."""
        receiver, port = self.udp(), free_port()
        service = self.start(self.file("six.ng", SIX_TO_FOUR.format(port, port_of(receiver))))
        sender = self.udp(host="::1", to=port)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sender.send(bytes(65520))
        sender.send(b"short")
        self.assertEqual(b"short", receiver.recv(65536))
        service.counters(r"six:\s+hub.*\bout\b.*EMSGSIZE 1\b")

    def test_receiver_missing(self):
        """A receiver that is not there yet costs the others nothing, and joins when it comes."""
        receivers = [self.udp() for _ in range(2)]
        late, entry = free_port(), free_port()
        ports = {9001: port_of(receivers[0]), 9002: late, 9003: port_of(receivers[1])}
        self.start(self.example("fanout.ng", {9000: entry, **ports}))
        sender = self.udp(to=entry)
        for number in range(20):
            if number == 10:
                receivers.append(self.udp(late))
            sender.send(bytes([number]))
            for receiver in receivers:
                self.assertEqual(bytes([number]), receiver.recv(65536))
