"""A device by itself, in memory."""

from __future__ import annotations

import os
import resource
from errno import EBADFD, EINVAL, EMFILE
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from ngksock.testing.exchange import limits
from ngksock.tuntap import Device, System
from ngksock.tuntap.device import check_name
from tests.tuntap.memory import MemoryDevice, MemoryLinux


class DeviceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.linux, self.reactor = MemoryLinux(), MemoryReactor()
        self.rounds: list[list[bytes]] = []
        self.lost = 0
        linux: Any = self.linux
        self.device = Device("ng%d", False, self.reactor, self.rounds.append, self.lose, linux)

    def lose(self) -> None:
        """Count that the device was lost."""
        self.lost += 1

    @property
    def inside(self) -> MemoryDevice:
        """The device, as Linux sees it."""
        return self.linux.devices[0]

    def test_life(self) -> None:
        """It is with the reactor from its start to its end, and nobody calls that a loss."""
        self.device.startListening()
        self.assertEqual([self.device], self.reactor.getReaders())
        self.assertEqual("ng0", self.device.name)
        self.device.close()
        self.device.close()
        self.device.connectionLost()
        self.assertEqual(([], [], 0), (self.reactor.getReaders(), self.linux.devices, self.lost))

    def test_loss(self) -> None:
        """What the reactor finds gone is closed, and told once."""
        self.device.startListening()
        for _ in range(2):
            self.device.connectionLost()
        self.assertEqual(([], [], 1), (self.reactor.getReaders(), self.linux.devices, self.lost))

    def test_flags(self) -> None:
        """It is opened so that no read waits and no child inherits it."""
        self.device.startListening()
        self.assertEqual((False, True), (self.inside.blocking, self.inside.closeOnExec))

    def test_failed_start(self) -> None:
        """What could be opened but not made a device is closed again."""
        self.linux.permissions.remove("ioctl")
        self.assertRaises(PermissionError, self.device.startListening)
        self.assertEqual(([], []), (self.reactor.getReaders(), self.linux.devices))

    def test_last_packets(self) -> None:
        """What came before an error is handed on, and the error returned."""
        self.device.startListening()
        read, datas = self.inside.read, iter((b"1", b"2"))

        def fails(limit: int) -> bytes:
            try:
                return next(datas)
            except StopIteration:
                self.inside.gone = True
                return read(limit)

        self.patch(self.inside, "read", fails)
        failed = self.device.doRead()
        assert failed is not None
        self.assertEqual((EBADFD, [[b"1", b"2"]]), (failed.errno, self.rounds))

    def test_longest(self) -> None:
        """The longest packet there can be is read whole."""
        self.device.startListening()
        longest = b"\x45" + bytes(65534 + 18)
        self.inside.readBuffer.append(longest)
        self.device.doRead()
        self.assertEqual([[longest]], self.rounds)

    def test_flag_up(self) -> None:
        """Up and down change one flag of many."""
        self.device.startListening()
        asked: list[bytes] = []
        control = self.linux.control

        def heard(request: int, argument: bytes) -> bytes:
            asked.append(argument[16:18])
            return control(request, argument)

        self.patch(self.linux, "control", heard)
        self.device.up = True
        self.device.up = False
        self.assertEqual((0x1011).to_bytes(2, "little"), asked[1])
        self.assertEqual((0x1010).to_bytes(2, "little"), asked[3])


class NameTests(SynchronousTestCase):
    @limits(300)
    @given(st.text(st.characters(max_codepoint=255), max_size=20))
    def test_names(self, name: str) -> None:
        """A name is good, or it is EINVAL and one of the reasons the sentence gives holds."""
        bad = set(name) & set("/:% \t\n\v\f\r\0\xa0") or name in ("", ".", "..") or len(name) > 15
        try:
            check_name(name)
            errno = 0
        except OSError as error:
            errno = error.errno or 0
        self.assertEqual(EINVAL if bad else 0, errno)


class SystemTests(SynchronousTestCase):
    def test_is_here(self) -> None:
        """Where Linux cannot say where a device is, it is taken to be here."""
        fileno = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, fileno)
        self.assertTrue(System().is_here(fileno))

    def test_no_descriptors(self) -> None:
        """Where there was no descriptor left to ask with, nothing is taken for granted."""
        fileno = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, fileno)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            error = self.assertRaises(OSError, System().is_here, fileno)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(EMFILE, error.errno)
