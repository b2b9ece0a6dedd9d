"""iface and eiface with Linux itself: devices in network namespaces.

Needs root, /dev/net/tun, and the Debian packages iproute2 and iputils-ping; is skipped
where one is missing.
"""

from __future__ import annotations

import re
from errno import EINVAL

from twisted.internet.testing import MemoryReactor

from ngksock.tuntap import Device
from ngksock.tuntap.device import check_name
from tests.integration.namespaces import Space, SpaceCase, run
from tests.integration.service import TWISTD, Service
from tests.integration.traffic import exchange

MEBI = 1 << 20
LANS = ("lan0", "lan1", "lan2")
DEVICES = """\
mkpeer iface boot inet
name boot tun
rmhook boot
mkpeer eiface boot ether
name boot tap
rmhook boot
"""


class BridgeCase(SpaceCase):
    """A case with bridge.ng."""

    def give(self, home: Space) -> list[Space]:
        """Give each device to a namespace, as the comment in the file says."""
        spaces = []
        for number, device in enumerate(LANS):
            space = self.space(device)
            home.ip("link", "set", device, "netns", space.name)
            space.ip("address", "add", f"192.0.2.1{number}/24", "dev", device)
            space.ip("link", "set", device, "up")
            spaces.append(space)
        return spaces


class BridgeExampleTests(BridgeCase):
    """bridge.ng."""

    def test_bridge(self):
        """bridge.ng: three namespaces ping each other, and the table has three hosts."""
        home = self.space("home")
        service = self.serve(home, self.example("bridge.ng", {}))
        spaces = self.give(home)
        for one in range(3):
            for other in range(3):
                if one != other:
                    spaces[one].pings(f"192.0.2.1{other}", 2)
        table = self.tell(service, "msg", "switch:", "gettable")
        self.assertIn("numHosts=3", table)
        for number, (space, device) in enumerate(zip(spaces, LANS, strict=True)):
            [address] = re.findall(r"link/ether (\S+)", space.ip("link", "show", device))
            self.assertRegex(table, rf'addr={address} hook="link{number}"')

    def test_bridge_tcp(self):
        """bridge.ng: 4 MiB pass both ways over TCP between two of the namespaces."""
        home = self.space("home")
        self.serve(home, self.example("bridge.ng", {}))
        one, other, _ = self.give(home)
        exchange([self.connected(one, other, "192.0.2.11")], 4 * MEBI)


class TunnelCase(SpaceCase):
    """A case with udp-tunnel.ng and udp-tunnel-far.ng."""

    def setUp(self) -> None:
        super().setUp()
        self.near, self.far = self.space("near"), self.space("far")
        self.wire(self.near, self.far)

    def run_near(self) -> Service:
        """Run the near end, and give it its addresses."""
        ports = {7000: 7000, 7001: 7001}
        service = self.serve(self.near, self.example("udp-tunnel.ng", ports))
        self.address(self.near, 1, 2)
        return service

    def run_far(self) -> Service:
        """Run the far end, and give it its addresses."""
        ports = {7000: 7000, 7001: 7001}
        service = self.serve(self.far, self.example("udp-tunnel-far.ng", ports))
        self.address(self.far, 2, 1)
        return service

    def address(self, space: Space, own: int, peer: int) -> None:
        """Give an end of the tunnel its addresses."""
        device = ("dev", "tunnel0")
        space.ip("address", "add", f"10.0.0.{own}", "peer", f"10.0.0.{peer}", *device)
        space.ip("address", "add", f"fd00:10::{own}/64", *device, "nodad")

    def end(self, service: Service) -> None:
        """Stop a service now, and see that it does so as it ought to."""
        self.services.remove(service)
        self.assert_stops(service)


class TunnelExampleTests(TunnelCase):
    """udp-tunnel.ng and udp-tunnel-far.ng."""

    def test_tunnel(self):
        """udp-tunnel.ng: ping, of both protocols and all sizes, and 4 MiB of TCP both ways."""
        self.run_near()
        self.run_far()
        for address in ("10.0.0.2", "fd00:10::2"):
            self.near.pings(address, 3)
        for space, address in ((self.near, "10.0.0.2"), (self.far, "10.0.0.1")):
            for size in ("0", "1444", "20000"):  # the last one in fragments
                command = ("ping", "-n", "-c", "1", "-W", "5", "-s", size, address)
                self.assertIn(" 0% packet loss", run(*space.program, *command))
        for address in ("10.0.0.2", "fd00:10::2"):
            exchange([self.connected(self.near, self.far, address)], 4 * MEBI)

    def test_restarts(self):
        """Either end may be restarted; then the tunnel goes on, and so does the other end."""
        near, far = self.run_near(), self.run_far()
        self.near.pings("10.0.0.2")
        self.end(far)
        self.assertNotIn("tunnel0", self.far.ip("link"))
        far = self.run_far()
        self.near.pings("10.0.0.2")
        self.end(near)
        self.run_near()
        self.far.pings("10.0.0.1")
        self.near.pings("fd00:10::2")
        exchange([self.connected(self.near, self.far, "10.0.0.2")], MEBI)


class LifeTests(SpaceCase):
    """What happens to devices, from our side and from others'."""

    def test_life(self):
        """Devices are made, changed and removed by messages, and Linux agrees each time."""
        home = self.space("home")
        service = self.serve(home, self.file("devices.ng", DEVICES))
        for node, name in (("tun:", "ng0"), ("tap:", "ngeth0")):
            self.assertIn(f'"{name}"', self.tell(service, "msg", node, "getifname"))
            self.assertIn("state DOWN", home.ip("link", "show", name))
            for text in ("setmtu 1400", 'setifname "new0"', "up"):
                self.tell(service, "msg", node, text)
            shown = home.ip("-d", "link", "show", "new0")
            self.assertRegex(shown, r"<[^>]*\bUP\b[^>]*> mtu 1400 ")
            self.assertIn("tun type tap" if node == "tap:" else "tun type tun", shown)
            self.tell(service, "msg", node, "down")
            self.assertNotRegex(home.ip("link", "show", "new0"), r"<[^>]*\bUP\b")
            self.tell(service, "shutdown", node)
            self.assertNotIn("new0", home.ip("link"))

    def test_address(self):
        """set gives a TAP device its Ethernet address."""
        home = self.space("home")
        service = self.serve(home, self.file("devices.ng", DEVICES))
        self.tell(service, "msg", "tap:", "set 02:00:00:00:00:ab")
        self.assertIn("link/ether 02:00:00:00:00:ab", home.ip("link", "show", "ngeth0"))

    def test_index(self):
        """getifindex is Linux's number."""
        home = self.space("home")
        service = self.serve(home, self.file("devices.ng", DEVICES))
        number = home.ip("link", "show", "ng0").partition(":")[0]
        self.assertIn(f"Args:\t{number}\n", self.tell(service, "msg", "tun:", "getifindex"))

    def test_moved(self):
        """A device in another namespace keeps its name known; a namesake here is not touched."""
        home, away = self.space("home"), self.space("away")
        service = self.serve(home, self.file("devices.ng", DEVICES))
        home.ip("link", "set", "ngeth0", "netns", away.name)
        home.ip("tuntap", "add", "dev", "ngeth0", "mode", "tap")
        with self.assertRaises(AssertionError) as caught:
            self.tell(service, "msg", "tap:", "up")
        self.assertIn("No such device", str(caught.exception))
        self.assertNotRegex(home.ip("link", "show", "ngeth0"), r"<[^>]*\bUP\b")
        away.ip("link", "set", "ngeth0", "name", "inside0")
        self.assertIn('"inside0"', self.tell(service, "msg", "tap:", "getifname"))
        self.tell(service, "msg", "tap:", "set 02:00:00:00:00:ab")
        self.assertIn("02:00:00:00:00:ab", away.ip("link", "show", "inside0"))
        self.assertIn("in another", self.tell(service, "status", "tap:"))

    def removed(self, reactor: str) -> None:
        """Run the service on *reactor*, and take its devices away."""
        home, away = self.space("home"), self.space("away")
        options = ("-n", "--pidfile=", f"--reactor={reactor}")
        service = self.serve(home, self.file("devices.ng", DEVICES), options=options)
        home.ip("link", "delete", "ng0")
        service.wait_for("iface tun: the interface ng0 was removed by somebody")
        home.ip("link", "set", "ngeth0", "netns", away.name)
        away.ip("link", "delete", "ngeth0")
        service.wait_for("eiface tap: the interface ngeth0 was removed by somebody")
        self.assertIn("removed by somebody", self.tell(service, "status", "tun:"))
        self.tell(service, "shutdown", "tun:")

    def test_removed(self):
        """A device that somebody deletes is reported, moved or not; the service lives on."""
        self.removed("epoll")

    def test_removed_select(self):
        """So it is on the select reactor."""
        self.removed("select")

    def test_removed_asyncio(self):
        """So it is on the asyncio reactor."""
        self.removed("asyncio")

    def test_space_deleted(self):
        """A device goes with its namespace, and that is reported: nothing of ours keeps it."""
        home, away = self.space("home"), Space("away")
        service = self.serve(home, self.file("devices.ng", DEVICES))
        home.ip("link", "set", "ngeth0", "netns", away.name)
        self.tell(service, "status", "tap:")
        away.close()
        service.wait_for("eiface tap: the interface ngeth0 was removed by somebody")

    def test_unprivileged(self):
        """Without CAP_NET_ADMIN the file fails at mkpeer: EPERM, status 71, and what is missing."""
        file = self.file("devices.ng", DEVICES)
        # Root without that capability: any user would do who may read our files.
        program = ("setpriv", "--bounding-set", "-net_admin", *TWISTD)
        service = self.spawn(file, program=program)
        self.assertEqual(71, service.ended())
        self.assertRegex(service.log, rf"{file}:1:\d+: mkpeer: EPERM \(.*CAP_NET_ADMIN")
        self.assertNotIn("Traceback", service.log)

    def test_checked(self):
        """A check makes no device, and finds what is wrong with messages to one."""
        home = self.space("home")
        bad = 'msg tun: setifname "a b"\nmsg tap: setmtu 65522\n'
        file = self.file("devices.ng", DEVICES + bad)
        service = self.spawn("--check", file, program=(*home.program, *TWISTD))
        self.assertEqual(65, service.ended())
        self.assertEqual(
            [
                f"{file}:7:20: tun: 'a b' is no interface name: it may have no blank, slash, colon "
                "or percent sign, and is neither . nor ..",
                f"{file}:8:17: tap: mtu 65522 is not in 68..65521",
            ],
            service.log.splitlines(),
        )
        self.assertNotIn("ng", home.ip("-o", "link"))


class LinuxTests(SpaceCase):
    """That Linux is what the tests in memory take it for."""

    def device(self, ethernet: bool = False) -> Device:
        """Make a device where this thread is."""
        device = Device("ng%d", ethernet, MemoryReactor(), lambda datas: None, lambda: None)
        device.startListening()
        self.addCleanup(device.close)
        return device

    def test_names(self):
        """Linux takes the names we take, byte by byte; a percent sign is ours to refuse."""
        space = self.space("names")
        with space.entered():
            device = self.device()
            for number in range(1, 256):
                for name in (chr(number), f"a{chr(number)}b"):
                    try:
                        check_name(name)
                        good = True
                    except OSError as error:
                        self.assertEqual(EINVAL, error.errno)
                        good = False
                    try:
                        device.rename(name)
                        taken = device.name == name
                    except OSError as error:
                        self.assertEqual(EINVAL, error.errno, repr(name))
                        taken = False
                    if name != "%":
                        self.assertEqual(taken, good, repr(name))
            device.close()

    def test_lowest(self):
        """The lowest number that is free is taken."""
        with self.space("lowest").entered():
            devices = [self.device() for _ in range(3)]
            self.assertEqual(["ng0", "ng1", "ng2"], [device.name for device in devices])
            devices[1].close()
            self.assertEqual("ng1", self.device().name)

    def test_mtu(self):
        """Linux takes the MTUs we take, and no others."""
        with self.space("mtu").entered():
            for ethernet, largest in ((False, 65535), (True, 65521)):
                device = self.device(ethernet)
                for mtu in (68, largest):
                    device.mtu = mtu
                    self.assertEqual(mtu, device.mtu)
                for mtu in (67, largest + 1):
                    with self.assertRaises(OSError) as caught:
                        device.mtu = mtu
                    self.assertEqual(EINVAL, caught.exception.errno)
