"""ROS's cv_bridge, where it is installed and works with the NumPy that runs here."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np

_TIMEOUT_S = 30
_TRIAL = """
from types import SimpleNamespace
from cv_bridge import CvBridge
pixel = dict(height=1, width=1, encoding="rgb16", is_bigendian=0, step=6, data=bytes(6))
CvBridge().imgmsg_to_cv2(SimpleNamespace(**pixel), "rgb8")
"""


@functools.cache
def cv_bridge_or_reason() -> tuple[Any | None, str]:
    """Return a ``CvBridge``, or None and why there is none; found out once in a process.

    A cv_bridge built for another major version of NumPy may raise when it is imported, but it may
    also only print a warning then and take the process down at the first conversion. That is why
    a child process (about a second) converts a pixel first.
    """
    if find_spec("cv_bridge") is None:
        return None, "cv_bridge is not installed"
    failure = _failure_of_trial()
    if not failure:
        try:
            from cv_bridge import CvBridge

            return CvBridge(), ""
        except (ImportError, AttributeError, SystemError) as error:
            failure = str(error)
    return None, f"cv_bridge does not work here, with NumPy {np.__version__}: {failure}"


def _failure_of_trial() -> str:
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_TIMEOUT_S} s"
    if trial.returncode < 0:
        return f"it crashes ({signal.Signals(-trial.returncode).name})"
    last_line = (trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"])[-1]
    return last_line if trial.returncode else ""
