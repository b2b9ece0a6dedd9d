"""Sources and sinks: functions in processes of their own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.bench.machine import pin
from tests.bench.relay import Relay, raise_limit
from tests.bench.settings import opt

__all__ = ["Job", "collect", "far", "spawn"]

Job = tuple[int, int]


def spawn(function: Callable[..., Any], *args: object, cpu: int | None = None) -> Job:
    """Fork *function*; what it returns is for `collect`."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.close(read)
        raise_limit()
        pin(opt.pin_load if cpu is None else cpu)
        signal.alarm(int(opt.secs * 4 + 60))
        answer = json.dumps(function(*args))
    except BaseException as error:
        answer = json.dumps({"error": repr(error)})
    os.write(write, answer.encode())
    os._exit(0)


def far(relay: Relay) -> int | None:
    """With no relay in the path its CPU serves the far end."""
    return None if relay.cmd else opt.pin_relay


def collect(job: Job) -> Any:
    """
    Return what the function of *job* returned, as JSON has it.

    Raises:
        RuntimeError: It failed.
    """
    pid, read = job
    with os.fdopen(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    answer = json.loads(data or b'{"error": "timed out"}')
    if isinstance(answer, dict) and "error" in answer:
        raise RuntimeError(answer["error"])
    return answer
