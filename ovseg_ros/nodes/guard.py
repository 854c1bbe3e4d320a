"""Callbacks that may fail without ending the process, and what is said about it.

An exception that leaves a callback ends rclpy's executor, and with it every node of the process. A
guarded callback logs it instead, and a guarded service answers that it failed. That holds for
whatever is raised: panics of libraries in Rust and a library's ``sys.exit`` are no ``Exception``.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

Complain = Callable[[str], None]

_LONGEST_REASON = 500
_LONGEST_TEXT = 10_000


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
        except KeyboardInterrupt:
            raise
        except BaseException:
            complain(f"{what} failed:\n{last_traceback()}")
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            complain(f"service {name} failed:\n{last_traceback()}")
            refusal = type(reply)()
            fields = refusal.get_fields_and_field_types()
            if "success" in fields:
                refusal.success = False
            for field in ("message", "reason"):
                if fields.get(field) == "string":
                    setattr(refusal, field, f"failed: {brief(error)}")
            return refusal

    return guarded


def brief(error: BaseException | str) -> str:
    """Return why something is refused or failed, as messages and logs can hold it.

    That is the first line, at most 500 characters of it: what is refused may be quoted in it, and
    it may be long.
    """
    text = str(error).strip() or type(error).__name__
    return sayable(text.splitlines()[0], _LONGEST_REASON)


def sayable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text that every message and log takes: of the end of a long one not all.

    What is no Unicode is escaped: files may have names of any bytes, JSON may hold half characters.
    """
    if len(text) > longest:
        text = f"{text[: longest // 2]} [...] {text[-(longest // 2) :]}"
    return text.encode("utf-8", "backslashreplace").decode()


def last_traceback() -> str:
    """Return the traceback of the exception that is being handled, for a log."""
    return sayable(traceback.format_exc())
