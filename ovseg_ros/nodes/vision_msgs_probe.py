"""ROS's vision_msgs, where it is installed and its messages can be published.

There is no wheel of it. One of another distribution, or whose libraries do not load, is imported
and fails when a publisher is made; the node goes on without it then, and says why.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from rclpy.type_support import check_for_type_support

_USED = (
    "Detection2D",
    "Detection2DArray",
    "LabelInfo",
    "ObjectHypothesisWithPose",
    "VisionClass",
)


def vision_msgs_or_reason() -> tuple[ModuleType | None, str]:
    """Return ``vision_msgs.msg``, or None and why its messages cannot be published."""
    if find_spec("vision_msgs") is None:
        return None, "vision_msgs is not installed"
    try:
        import vision_msgs.msg as messages

        for name in _USED:
            check_for_type_support(getattr(messages, name))
    except Exception as error:  # whatever a package that is built for another ROS raises
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        return None, f"vision_msgs does not work here: {said}"
    return messages, ""


VISION_MSGS, REASON = vision_msgs_or_reason()
"""The messages, or None and the reason, found out once in a process."""

BROKEN = VISION_MSGS is None and find_spec("vision_msgs") is not None
"""Whether it is installed and does not work."""
