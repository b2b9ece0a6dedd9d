"""GraphService: what it makes, logs, catches and leaves behind."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from threading import Thread
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from ngksock.nodes.tee import Tee
from ngksock.packet import Packet
from ngksock.service import host
from ngksock.service.host import GraphService
from ngksock.service.run import ScriptError
from ngksock.service.script import Library

KEPT = "mkpeer hub boot boot\nname boot fan\nmsg fan: setpersistent\n"


class HostTestCase(TestCase):
    """Tests with a service on the real reactor."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(cast(ILogObserver, self.observe))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, self.observe))

    def observe(self, event: Any) -> None:
        """Keep an event of the log."""
        self.events.append(event)

    def service(self, text: str, *names: str) -> GraphService:
        """Return a service of a file with that content, to be stopped at the end."""
        (self.folder / "a.ng").write_bytes(text.encode("latin-1"))
        service = GraphService(Library(directory=str(self.folder)), ["a.ng", *names])
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: GraphService) -> Deferred[None] | None:
        """Stop it, unless the test did."""
        return service.stopService() if service.graph is not None else None

    def logged(self, level: Any = LogLevel.info) -> list[str]:
        """Return what the service has logged."""
        return [
            str(event.get("line", event.get("sentence", event["log_format"])))
            for event in self.events
            if event["log_namespace"] == "ngksock" and event["log_level"] is level
        ]

    def graph_of(self, service: GraphService) -> Any:
        """Return its graph, which must be there."""
        self.assertIsNotNone(service.graph)
        return service.graph


class StartTests(HostTestCase):
    def test_interface(self) -> None:
        """It is a service to Twisted, and looks the reactor up late."""
        service = self.service(KEPT)
        verifyObject(IService, service)
        self.assertIs(reactor, service.reactor)

    def test_applied_with_privileges(self) -> None:
        """The graph is made in privilegedStartService, and once."""
        service = self.service(KEPT)
        service.privilegedStartService()
        graph = self.graph_of(service)
        service.startService()
        self.assertIs(graph, service.graph)
        self.assertEqual(["fan"], list(graph.names))

    def test_applied_without(self) -> None:
        """twist calls startService alone: the graph is made there, and again after a stop."""
        service = self.service(KEPT)
        for _ in range(2):
            service.startService()
            self.assertEqual(["fan"], list(self.graph_of(service).names))
            service.stopService()
            self.assertIsNone(service.graph)

    def test_summary(self) -> None:
        """The log tells how much there is, and how each node is."""
        service = self.service(KEPT + "mkpeer fan: one2many out one\nmkpeer fan:out echo many0 x\n"
                               "mkpeer fan:out.many0 hub y y\nshow fan:\n")  # fmt: skip
        service.startService()
        said = self.logged()
        self.assertEqual("4 nodes, 3 links from a.ng", said[-5])
        self.assertTrue(said[-4].startswith("  fan:            hub             1 hook"), said[-4])
        self.assertTrue(said[-3].startswith("  fan:out         one2many "), said[-3])
        self.assertTrue(said[-1].startswith("  [5]:            hub "), said[-1])

    def test_output_keeps_its_layout(self) -> None:
        """Each line of a command's output is one of the log, blanks at its ends kept."""
        self.service(KEPT + "show .\n").startService()
        self.assertIn(
            "  Local hook      Peer name       Peer type    Peer ID         Peer hook      ",
            self.logged(),
        )
        self.assertTrue(all("\n" not in line for line in self.logged()))

    def test_many_nodes(self) -> None:
        """Fifty nodes are told about, the others counted."""
        text = KEPT + "".join(f"mkpeer fan: hub h{n} h\n" for n in range(60))
        self.service(text).startService()
        self.assertEqual("  and 11 more", self.logged()[-1])

    def test_warning(self) -> None:
        """A node that ended with the file is a warning."""
        self.service("mkpeer hub x x\nname x ks\n").startService()
        self.assertEqual(1, len(self.logged(LogLevel.warn)))
        self.assertIn('node "ks" (hub) ended with the file', self.logged(LogLevel.warn)[0])

    def test_bug(self) -> None:
        """A node whose status fails is logged as a bug, and the others are still told about."""
        service = self.service(KEPT + "mkpeer fan: tee out right\n")
        self.patch(Tee, "status", lambda node: 1 // 0)
        service.startService()
        self.assertEqual("  fan:out         tee             1 hook", self.logged()[-1])
        self.assertIn("tee node [3] failed", self.logged(LogLevel.critical)[0])
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_failure_closes_everything(self) -> None:
        """When a line fails, the sockets opened before it are closed."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            before = len(os.listdir("/proc/self/fd"))
            service = self.service(
                KEPT + "mkpeer fan: ksocket a inet/dgram/udp\nmsg fan:a bind inet/127.0.0.1:0\n"
                "mkpeer fan: ksocket b inet/dgram/udp\n"
                f"msg fan:b bind inet/127.0.0.1:{port}\n"
            )
            error = self.assertRaises(ScriptError, service.startService)
            self.assertIn("a.ng:7:16: msg: EADDRINUSE (Address already in use)", str(error))
            self.assertIsNone(service.graph)
            self.assertEqual(before, len(os.listdir("/proc/self/fd")))
            self.assertFalse(service.running)

    def test_relative_paths(self) -> None:
        """Unix paths in files are relative to where the files were named, not to where we are."""
        service = self.service(
            KEPT + 'mkpeer fan: ksocket a local/dgram/0\nmsg fan:a bind local/"here.sock"\n'
        )
        service.startService()
        self.assertTrue((self.folder / "here.sock").exists())


class SignalTests(HostTestCase):
    def test_hangup(self) -> Deferred[None]:
        """SIGHUP does not end the process; the log says that reload is not there yet."""
        service = self.service(KEPT)
        before = signal.getsignal(signal.SIGHUP)
        service.startService()
        os.kill(os.getpid(), signal.SIGHUP)

        def check(_: None) -> None:
            self.assertIn("SIGHUP", self.logged(LogLevel.warn)[-1])
            service.stopService()
            self.assertIs(before, signal.getsignal(signal.SIGHUP))

        return self.next_turn().addCallback(check)

    def test_counters(self) -> Deferred[None]:
        """SIGUSR1 logs what each hook has sent and lost."""
        service = self.service(KEPT + "mkpeer fan: tee out right\nwrite boot 1 2 3\n")
        service.startService()
        os.kill(os.getpid(), signal.SIGUSR1)
        expected = [
            "counters of 2 nodes:",
            "  fan:            hub             out             sent 1 packet, 3 bytes",
            "  fan:out         tee             right           sent 0 packets, 0 bytes",
        ]
        return self.next_turn().addCallback(
            lambda _: self.assertEqual(expected, self.logged()[-3:])
        )

    def test_losses(self) -> None:
        """What was lost is told by errno."""
        service = self.service(KEPT + "mkpeer fan: tee out right\n")
        service.startService()
        graph = self.graph_of(service)
        graph.names["fan"].hooks["out"].drop(105, 7)
        service.log_counters()
        self.assertIn("sent 0 packets, 0 bytes, lost ENOBUFS 7", self.logged()[-2])
        service.stopService()
        said = len(self.logged())
        service.log_counters()
        self.assertEqual(said, len(self.logged()))

    def test_other_threads(self) -> None:
        """Where Python takes no signals, none are caught."""
        service = self.service(KEPT)
        before = signal.getsignal(signal.SIGHUP)
        thread = Thread(target=service.startService)
        thread.start()
        thread.join()
        self.assertIs(before, signal.getsignal(signal.SIGHUP))

    def next_turn(self) -> Deferred[None]:
        """Wait for what a signal caused."""
        done: Deferred[None] = Deferred()
        cast(Any, reactor).callFromThread(done.callback, None)  # after what was called so before
        return done


class StopTests(HostTestCase):
    """Streams send what they hold, within a time."""

    def setUp(self) -> None:
        super().setUp()
        self.server = socket.socket()
        self.addCleanup(self.server.close)
        self.server.bind(("127.0.0.1", 0))
        self.server.listen()

    def connected(self) -> tuple[GraphService, socket.socket]:
        """Return a service whose stream holds much for a peer, and that peer."""
        port = self.server.getsockname()[1]
        (self.folder / "data").write_bytes(b"x" * 8192)
        service = self.service(
            KEPT + "mkpeer fan: ksocket out inet/stream/tcp\n"
            f"msg fan:out connect inet/127.0.0.1:{port}\n" + "write boot -f data\n" * 20
        )
        service.startService()
        peer, _ = self.server.accept()
        self.addCleanup(peer.close)
        return service, peer

    def test_flushed(self) -> Any:
        """What was written before the stop arrives, and then the end of file."""
        service, peer = self.connected()
        stopped = service.stopService()

        def read() -> int:
            peer.settimeout(5)
            total = 0
            while data := peer.recv(65536):
                total += len(data)
            return total

        def check(total: int) -> Any:
            self.assertEqual(20 * 8192, total)
            return stopped

        return deferToThread(read).addCallback(check)

    @inlineCallbacks
    def test_time_is_up(self) -> Any:
        """A peer that does not read is given up after a while, with a warning."""
        self.patch(host, "DRAIN", 0.05)
        service, _ = self.connected()
        out = self.graph_of(service).names["fan"].hooks["out"]
        full = 0
        while full < 5:  # turns in which nothing more may be sent
            full = full + 1 if out.high else 0
            while not out.high:
                out.send_data(Packet(b"x" * 8192))
            yield deferLater(reactor, 0)
        yield service.stopService()
        self.assertIn("not all streams", self.logged(LogLevel.warn)[-1])
