"""load.ng: a source in real time, and what it says in its packets."""

from __future__ import annotations

import contextlib
import socket
import time

from tests.integration.service import DEADLINE, IntegrationCase, port_of, receive, until

SECONDS = 2
ERROR = 0.05
TRIES = 3
"""A busy machine may stop us, or the service, at the end of a measurement."""


class LoadCase(IntegrationCase):
    """A case that reads what load.ng sends."""

    def measured(self, receiver: socket.socket, count: int) -> float:
        """Receive until that many were sent, in order; return how many that was a second."""
        _drain(receiver)
        first = last = receiver.recv(2000)
        while _number(last) - _number(first) < count:
            data = receiver.recv(2000)
            self.assertLess(_number(last), _number(data))
            self.assertLessEqual(_time(last), _time(data))
            last = data
        self.assertLess(abs(time.time() - _time(last)), DEADLINE)
        return (_number(last) - _number(first)) / (_time(last) - _time(first))

    def assert_rate(self, receiver: socket.socket, rate: int) -> None:
        """The rate is that, by 5 %, over two seconds."""
        rates: list[float] = []
        while len(rates) < TRIES:
            rates.append(self.measured(receiver, rate * SECONDS))
            if abs(rates[-1] - rate) < rate * ERROR:
                return
        self.fail(f"{rates} packets a second, not {rate}")


def _drain(receiver: socket.socket) -> None:
    """Forget what waits: it may be of a service that was stopped."""
    receiver.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            receiver.recv(2000)
    receiver.settimeout(DEADLINE)


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4])


def _time(data: bytes) -> float:
    return int.from_bytes(data[8:12]) + int.from_bytes(data[16:20]) / 1e6


class LoadExampleTests(LoadCase):
    """The example that makes its traffic itself."""

    def test_load(self):
        """load.ng: numbered and dated datagrams, at the rate, in real time within 5 %."""
        receiver = self.udp()
        self.start(self.example("load.ng", {9001: port_of(receiver)}))
        for _ in range(100):
            data = receiver.recv(2000)
            self.assertEqual((1000, bytes(4), bytes(4)), (len(data), data[4:8], data[12:16]))
            self.assertFalse(any(data[20:]))
        self.assert_rate(receiver, 1000)


class RateTests(LoadCase):
    """Other rates in real time."""

    def test_rates(self):
        """Slower and faster rates hold within 5 %, too."""
        for change, rate in (("setinterval 50000000", 20), ("setpps 5000", 5000)):
            receiver = self.udp()
            changes: dict[int | str, int | str] = {
                9001: port_of(receiver),
                "setpps 1000": change,
                "999=0": "23=0",
            }
            self.start(self.example("load.ng", changes))
            self.assert_rate(receiver, rate)

    def test_stream(self):
        """A connection takes what it can: nothing is lost, and nothing piles up."""
        server = self.tcp_server()
        service = self.start(
            self.file(
                "stream.ng",
                "mkpeer source boot input\nname boot load\n"
                "mkpeer load: ksocket output inet/stream/tcp\n"
                f"msg load:output connect inet/127.0.0.1:{port_of(server)}\n"
                "msg load: adddata [ 9999=0 ]\n"
                "msg load: setcounter { flags=1 width=4 max_val=0xffffffff increment=1 }\n"
                "msg load: setinterval 0\nmsg load: start -1\n",
            )
        )
        connection, before = self.accept(server), service.rss
        for first in (0, 3000):  # in between it is held
            for number in range(first, first + 3000):
                data = receive(connection, 10_000)
                self.assertEqual((number, 10_000), (_number(data), len(data)))
            service.counters("load")
        self.assertLess(service.rss - before, 8 << 20)

    def test_fast(self):
        """As fast as it can leaves turns to others: the service answers, and stops."""
        service = self.start(
            self.file(
                "fast.ng",
                "mkpeer source boot input\nname boot load\nmkpeer load: hole output in\n"
                'msg load: adddata "x"\nmsg load: setinterval 0\nmsg load: start -1\n',
            )
        )

        def sent() -> int:
            return int(service.counters(r"load.*output.*?(\d+) packets")[1])

        first = sent()
        until(lambda: sent() > first + 100_000, "more packets")
