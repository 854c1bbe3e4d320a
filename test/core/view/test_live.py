"""What the live page keeps, without a browser or ROS."""

import cv2
import numpy as np
import pytest

from ovseg_ros.drawing import palette
from ovseg_ros.view.live import Answer, Live, Row, highlighted


@pytest.fixture
def live():
    """Provide a page that nothing was heard for."""
    return Live(lambda names: Answer(text=", ".join(names)), "node")


def row(name="mug", share=0.25):
    return Row(id=3, name=name, share=share, confidence=0.5)


def test_nothing_yet(live):
    assert (live.jpeg(), live.overlay(), live.rows, live.number) == (b"", None, (), 0)
    assert live.timeline(0.0) == {}


def test_an_overlay_is_decoded_when_it_is_looked_at_and_once(live):
    decoded = []

    def decode():
        decoded.append(1)
        return np.full((8, 16, 3), (255, 0, 0), np.uint8)

    live.take_overlay(decode)
    assert (decoded, live.number) == ([], 1)
    jpeg = live.jpeg()
    assert live.jpeg() is jpeg
    assert len(decoded) == 1
    blue, green, red = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[4, 8]
    assert red > 240 > 30 > max(blue, green)
    live.take_overlay(decode)
    assert live.jpeg() is not jpeg


def test_timeline_of_a_minute(live):
    for second in range(100):
        live.take_rows([row("mug", 0.5)] if second < 70 else [row("book", 0.1)], float(second))
    timeline = live.timeline(99.0)
    assert set(timeline) == {"mug", "book"}
    assert timeline["mug"][0] == (-60.0, 50.0)
    assert timeline["mug"][-1] == (0.0, 0.0)
    assert timeline["book"][-1] == (0.0, 10.0)
    assert live.rows == (row("book", 0.1),)


def test_the_colour_is_that_of_the_overlay():
    red, green, blue = palette([3])[0]
    assert row().colour == f"#{red:02x}{green:02x}{blue:02x}"


def test_highlighted():
    image = np.full((1, 2, 3), 200, np.uint8)
    assert highlighted(image, np.array([[True, False]])).tolist() == [[[200] * 3, [60] * 3]]
