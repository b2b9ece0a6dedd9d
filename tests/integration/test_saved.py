"""What `ngkctl save` wrote works as what it was saved from: the examples once more, reloaded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration import test_examples as examples
from tests.integration import test_load as load
from tests.integration import test_tuntap as tuntap
from tests.integration.service import DEADLINE, IntegrationCase, Service, environment

NGKCTL = (sys.executable, "-m", "ngksock.ctl")


class Reloaded(IntegrationCase):
    """A case whose services run what was saved of the files they are started with."""

    def start(self, *words: str | Path, **how: Any) -> Service:
        """Start the service, save its graph, and start another with that in its place."""
        first = super().start(*words, **how)
        place = re.search(r"control socket: (\S+)", first.log)
        assert place is not None, first.log
        saved = subprocess.run(
            [*NGKCTL, "-s", place[1], "save"],
            env=environment(),
            capture_output=True,
            check=True,
            timeout=DEADLINE,
        )
        self.services.remove(first)
        self.assert_stops(first)
        path = self.folder / f"saved-{len(self.services)}.ng"
        path.write_bytes(saved.stdout)
        return super().start(path, **how)


class DatagramTests(Reloaded, examples.DatagramExampleTests):
    """fanout, udp-reply, multicast, tunnel-a and -b, tee-join, filter, badnet."""


class LoadTests(Reloaded, load.LoadExampleTests):
    """load."""


class StreamTests(Reloaded, examples.StreamExampleTests):
    """forward, unix-to-tcp, ipv6."""


class TLSTests(Reloaded, examples.TLSExampleTests):
    """tls, tls-origin."""


class BridgeTests(Reloaded, tuntap.BridgeExampleTests):
    """bridge."""


class TunnelTests(Reloaded, tuntap.TunnelExampleTests):
    """udp-tunnel and udp-tunnel-far."""
