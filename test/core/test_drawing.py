"""Colours, overlays, legends and contact sheets."""

import colorsys

import numpy as np
import pytest

from ovseg_ros.drawing import colorize, contact_sheet, overlay, palette, with_legend

IMAGE = np.full((40, 60, 3), 100, np.uint8)
LABELS = np.zeros((40, 60), np.uint8)
LABELS[:20] = 3
LABELS[30:] = 200


def test_colours_are_those_of_the_hsv_definition():
    for index in (1, 7, 254, 40_000):
        hsv = (
            index * 0.618033988749895 % 1,
            (0.60, 0.90, 0.75)[index % 3],
            (0.95, 0.70, 0.85)[index // 3 % 3],
        )
        expected = [round(255 * channel) for channel in colorsys.hsv_to_rgb(*hsv)]
        assert palette([index])[0] == pytest.approx(expected, abs=1)


def test_colours_do_not_depend_on_what_else_is_asked_for():
    assert (palette([5, 9])[1] == palette([9, 1, 0])[0]).all()
    assert palette([]).shape == (0, 3)


def test_the_first_hundred_colours_are_distinct_and_none_is_black():
    colors = palette(range(1, 101)).astype(int)
    assert len(np.unique(colors, axis=0)) == 100
    assert colors.max(1).min() > 100
    neighbours = np.abs(np.diff(colors, axis=0)).sum(1)
    assert neighbours.min() > 60


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colorize_paints_every_label_in_its_colour(dtype):
    painted = colorize(LABELS.astype(dtype))
    assert painted.dtype == np.uint8
    assert (painted[0, 0] == palette([3])[0]).all()
    assert (painted[25, 0] == 0).all()
    assert (painted[39, 59] == palette([200])[0]).all()


def test_colorize_handles_16_bit_ids():
    assert (colorize(np.full((2, 2), 60_000, np.uint16)) == palette([60_000])[0]).all()


def test_overlay_blends_labelled_pixels_only():
    blended = overlay(IMAGE, LABELS, alpha=0.5)
    assert (blended[25] == IMAGE[25]).all()
    assert blended[0, 0] == pytest.approx((palette([3])[0].astype(float) + 100) / 2, abs=1)
    assert (IMAGE == 100).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: colorize(LABELS.astype(np.int64)), "labels: expected .* uint8 or uint16"),
        (lambda: colorize(LABELS[None]), r"labels: expected \(H, W\)"),
        (lambda: overlay(IMAGE[:3], LABELS), r"image: expected \(40, 60, 3\)"),
        (lambda: contact_sheet([]), "pictures: expected at least one"),
        (lambda: contact_sheet([IMAGE], titles=["a", "b"]), "2 titles"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_legend_shows_each_colour_and_leaves_the_picture_alone():
    result = with_legend(IMAGE, {3: "duck", 200: "a name far too long for a narrow legend"})
    assert (result[:40, :60] == IMAGE).all()
    side = result[:, 60:].reshape(-1, 3)
    for color in palette([3, 200]):
        assert (side == color).all(1).sum() > 100
    assert not (result[:, -4:] != 255).any(), "text runs into the margin"


def test_a_long_legend_makes_the_picture_higher():
    assert with_legend(IMAGE, {i: f"name {i}" for i in range(1, 31)}).shape[0] > 600


def test_contact_sheet_lays_out_rows_of_different_pictures():
    tall = np.full((90, 30, 3), 7, np.uint8)
    sheet = contact_sheet([IMAGE, tall, IMAGE], columns=2, cell_width_px=60)
    assert sheet.shape == (2 * 180, 120, 3)
    assert (sheet[:40, :60] == IMAGE).all()
    assert (sheet[:180, 60:] == 7).all()
    assert (sheet[180:220, :60] == IMAGE).all()
    titled = contact_sheet([IMAGE], titles=["a mug"], cell_width_px=60)
    assert titled.shape[0] > 40
    assert (titled[:22] < 100).any(), "no title"
