"""pipe and car over ten seconds of real time each; figures go to the output."""

from __future__ import annotations

from tests.integration.shaping import ShapingCase

SECONDS = 10


class ShapingSoak(ShapingCase):
    """Delay, rate and loss within 5 %, on a real reactor and from real sockets."""

    async def test_delay(self):
        """pipe: the delay."""
        print("\n" + await self.assert_delay(SECONDS))

    async def test_rate(self):
        """pipe: the rate, slow and fast."""
        for bandwidth in (64_000, 1_000_000, 8_000_000, 20_000_000):
            config = f"setcfg {{ bandwidth={bandwidth} overhead=10 }}"
            print("\n" + await self.assert_rate("pipe", config, 8000 / bandwidth, SECONDS))
            self.run_lines("shutdown n:")

    async def test_loss(self):
        """pipe: the loss."""
        print("\n" + await self.assert_loss(SECONDS))

    async def test_shape(self):
        """car: the rate of mode 3, slow and fast."""
        for cir in (64_000, 1_000_000, 8_000_000, 20_000_000):
            way = f"cbs=3000 ebs=3000 cir={cir} greenAction=1 yellowAction=1 redAction=2 mode=3"
            config = f"setconf {{ downstream={{ {way} }} }}"
            print("\n" + await self.assert_rate("car", config, 990 * 8 / cir, SECONDS))
            self.run_lines("shutdown n:")

    async def test_police(self):
        """car: the rate of mode 0."""
        print("\n" + await self.assert_policed(SECONDS))

    async def test_streams(self):
        """TCP through both, 20 MB each way."""
        config = "setcfg { bandwidth=16000000 delay=50000 overhead=-1 }"
        print("\n" + await self.assert_stream("pipe", config, 20_000_000, SECONDS + 0.05))
        way = "cbs=3000 ebs=3000 cir=16000000 greenAction=1 yellowAction=1 redAction=2"
        config = f"setconf {{ downstream={{ {way} }} upstream={{ {way} mode=3 }} }}"
        print("\n" + await self.assert_stream("car", config, 20_000_000, SECONDS))
