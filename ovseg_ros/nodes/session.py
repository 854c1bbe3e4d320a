"""What a program that runs a whole graph has around it: a ROS domain of its own, and signals."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ovseg_ros.interrupts import handled
from ovseg_ros.presets import preset_folders

_DOMAINS, _GUARD_PORT = range(1, 101), 27400
_FAST_DDS = "rmw_fastrtps"
_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


@contextmanager
def ros_domain() -> Iterator[tuple[int, dict[str, str]]]:
    """Claim a ROS domain that no other demo or test here uses, heard on this machine only.

    Yields:
        The domain, and the environment variables that put a program into it.

    Raises:
        OSError: if all domains are taken.
    """
    start = os.getpid() % len(_DOMAINS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        for domain in (*_DOMAINS[start:], *_DOMAINS[:start]):
            with suppress(OSError):
                guard.bind(("127.0.0.1", _GUARD_PORT + domain))
                break
        else:
            raise OSError("every ROS domain from 1 to 100 is taken by another demo or test")
        env = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        env |= dds_profile()
        before = dict(os.environ)
        os.environ.update(env)  # our own node reads it as well
        os.environ.pop("ROS_LOCALHOST_ONLY", None)
        try:
            yield domain, env
        finally:
            os.environ.clear()
            os.environ.update(before)


def dds_profile() -> dict[str, str]:
    """Return environment variables that let Fast DDS carry whole pictures on one machine.

    Empty if another middleware runs, or if the user has settings for Fast DDS.
    """
    if not os.environ.get("RMW_IMPLEMENTATION", _FAST_DDS).startswith(_FAST_DDS):
        return {}
    if any(name in os.environ for name in (*_PROFILES, "FASTDDS_BUILTIN_TRANSPORTS")):
        return {}
    files = (folder / "fastdds.xml" for folder in preset_folders())
    found = next((file for file in files if file.is_file()), None)
    return dict.fromkeys(_PROFILES, str(found)) if found else {}


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that is closed, do what Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with handled(interrupt):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing come between us and the end of the nodes."""
    with handled(signal.SIG_IGN):
        yield
