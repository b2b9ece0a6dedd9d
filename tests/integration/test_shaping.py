"""pipe and car hold, on a real reactor, what they are set to; the soak does it for longer."""

from __future__ import annotations

from tests.integration.shaping import ShapingCase


class RealTimeTests(ShapingCase):
    async def test_delay(self):
        """pipe: a delay of 100 ms is one within 5 %, and never less."""
        await self.assert_delay(1)

    async def test_rate(self):
        """pipe: a bandwidth is used, and kept, within 5 %."""
        config = "setcfg { bandwidth=8000000 overhead=10 }"
        await self.assert_rate("pipe", config, 1000 * 8 / 8e6, 1.5)

    async def test_loss(self):
        """pipe: of 1,000 datagrams about 100 are lost if 10 % are to be."""
        await self.assert_loss(1)

    async def test_shape(self):
        """car: mode 3 lets through what fits, within 5 %."""
        config = "cbs=3000 ebs=3000 cir=7920000 greenAction=1 yellowAction=1 redAction=2 mode=3"
        config = f"setconf {{ downstream={{ {config} }} }}"
        await self.assert_rate("car", config, 990 * 8 / 7.92e6, 1.5)

    async def test_police(self):
        """car: mode 0 drops what does not fit, within 5 %."""
        await self.assert_policed(1.5)

    async def test_stream_by_pipe(self):
        """pipe: a TCP stream is slow, late, and whole, whatever is to be lost."""
        config = "setcfg { bandwidth=16000000 delay=30000 overhead=-1 downstream={ BER=100 } }"
        await self.assert_stream("pipe", config, 2_000_000, 1.03)

    async def test_stream_by_car(self):
        """car: a TCP stream is shaped, and whole, in any mode."""
        way = "cbs=3000 ebs=3000 cir=16000000 greenAction=1 yellowAction=2 redAction=2"
        config = f"setconf {{ downstream={{ {way} }} upstream={{ {way} mode=3 }} }}"
        await self.assert_stream("car", config, 2_000_000, 1)
