"""Callbacks that may fail without ending the process.

An exception that leaves a callback ends rclpy's executor, and with it every node of the process. A
guarded callback logs it instead, and a guarded service answers that it failed.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

Complain = Callable[[str], None]


def guard(callback: Callable[..., Any], what: str, complain: Complain) -> Callable[..., Any]:
    """Return a callback of a subscription or timer that reports what it raises.

    Args:
        callback: The callback; the result takes the same arguments.
        what: What it is, for the report.
        complain: Told one text with the traceback.
    """

    @functools.wraps(callback)  # rclpy looks at how many arguments it takes
    def guarded(*arguments: Any) -> Any:
        try:
            return callback(*arguments)
        except Exception:
            complain(f"{what} failed:\n{traceback.format_exc()}")
            return None

    return guarded


def guard_service(
    callback: Callable[..., Any], name: str, complain: Complain
) -> Callable[..., Any]:
    """Return a service's callback that answers with a refusal when the given one raises.

    ``success`` is false then, and ``message`` (or ``reason``) says why, in messages that have them.

    Args:
        callback: Takes request and reply, returns the reply.
        name: Name of the service, for the report.
        complain: Told one text with the traceback.
    """

    def guarded(request: Any, reply: Any) -> Any:
        try:
            return callback(request, reply)
        except Exception as error:
            complain(f"service {name} failed:\n{traceback.format_exc()}")
            refusal = type(reply)()
            fields = refusal.get_fields_and_field_types()
            if "success" in fields:
                refusal.success = False
            for field in ("message", "reason"):
                if fields.get(field) == "string":
                    setattr(refusal, field, f"failed: {error or type(error).__name__}")
            return refusal

    return guarded
