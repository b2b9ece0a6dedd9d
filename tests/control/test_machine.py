"""Random calls of several clients have the errnos, and leave the graph, of a model."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.control.case import ControlCase
from tests.control.machine import ControlMachine


class MachineTests(ControlCase):
    def test_some(self) -> None:
        """A few runs; `soak_control` does ten thousand calls."""

        class Machine(ControlMachine):
            path = self.path

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=15, stateful_step_count=30, deadline=None, derandomize=True,
                database=None, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        self.assertGreater(Machine.steps, 100)
