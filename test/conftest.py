"""Shared by all tests: quiet surroundings and a ROS domain of their own per run and worker."""

from __future__ import annotations

import os
import random
import socket

from hypothesis import settings

# A commit passes or fails, whoever runs it; `pytest --hypothesis-profile default` looks further.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# Two test runs on one machine, or two workers of one run, must not hear each other.
_FIRST_GUARD_PORT = 27400
_DOMAINS = range(1, 51)  # and 51 to 100 beside them, see ros/conftest.py; those above share ports


def _claim_ros_domain() -> tuple[int, socket.socket]:
    """Returns a domain nobody else here tests in; it stays ours while the socket is open."""
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        guard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            guard.bind(("127.0.0.1", _FIRST_GUARD_PORT + domain))
        except OSError:
            guard.close()
            continue
        return domain, guard
    raise RuntimeError("all ROS domains from 1 to 50 are taken by other test runs")


_domain, _guard = _claim_ros_domain()

# Set before anything imports rclpy or torch; programs that tests start inherit it.
os.environ.update(
    ROS_DOMAIN_ID=str(_domain),
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
)
os.environ.pop("ROS_LOCALHOST_ONLY", None)


def pytest_unconfigure() -> None:
    _guard.close()
