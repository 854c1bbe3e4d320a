"""What only a race brings about."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import Image

from ovseg_ros.nodes.sensor_input import SensorInput


@pytest.mark.parametrize("running", [True, False])
def test_a_shutdown_while_publishers_are_judged_is_no_error(running):
    node = MagicMock()
    node.get_publishers_info_by_topic.side_effect = RuntimeError("context is invalid")
    node.context.ok.return_value = running
    judged = SensorInput(node, Image, "image", lambda message: None, MagicMock())
    with pytest.raises(RuntimeError) if running else nullcontext():
        judged.judge()


def test_what_is_lost_on_the_way_is_counted():
    sensor = SensorInput(MagicMock(), Image, "image", lambda message: None, MagicMock())
    sensor._on_lost(MagicMock(total_count_change=3))
    assert sensor.lost.count == 3
