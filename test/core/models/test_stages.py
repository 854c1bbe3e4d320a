"""Stages of a computation, and the benchmark that reads them."""

import time

import numpy as np
import pytest
import torch

from ovseg_ros.bench import stages as stage_bench
from ovseg_ros.models.stages import Stopwatch, stage
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.segmenters.labelling import label_pixels
from ovseg_ros.types import Segmentation

SIDE = 64


def work() -> None:
    with stage("sleep"):
        time.sleep(0.01)
    for _ in range(2):
        with stage("product"):
            torch.ones(SIDE, SIDE) @ torch.ones(SIDE, SIDE)


def test_stages_are_measured_only_inside_a_stopwatch():
    work()
    waits = []
    with Stopwatch(lambda: waits.append(1)) as watch:
        work()
    work()
    assert list(watch.ms) == ["sleep", "product"]
    assert 9 < watch.ms["sleep"] < 1000
    assert len(waits) == 6  # the device is waited for at both ends of every stage
    assert watch.flops == {}


def test_an_error_ends_the_measuring():
    with pytest.raises(RuntimeError), Stopwatch() as watch:
        raise RuntimeError
    work()
    assert watch.ms == {}


class Product:
    """Segments with one matrix product in each of two stages."""

    cadence = "frame"
    dtype = "float32"
    name, device = "product", "cpu"

    def segment(self, images, vocabulary):
        work()
        logits = torch.zeros(1, len(vocabulary), 4, 4)
        size = images.shape[1:3]
        labels, confidence = label_pixels(logits, vocabulary.ids, size_hw=size, temperature=1.0)
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)


def test_rows_of_the_benchmark(monkeypatch):
    monkeypatch.setattr(stage_bench, "build_segmenter", lambda *_, **__: Product())
    monkeypatch.setattr(stage_bench, "peak_tflops", lambda device, kind: 1e3)
    image = np.zeros((16, 16, 3), np.uint8)
    rows, found = stage_bench.time_stages(PipelineConfig(), image, names=3, runs=4, warmup=1)
    assert found.labels.shape == (1, 16, 16)
    by_name = {row.stage: row for row in rows}
    expected = ["sleep", "product", "upsample + argmax", "device to host", "frame, 3 names"]
    assert list(by_name) == expected
    products_ms = 2 * 2 * SIDE**3 / 1e9 / 1e3  # two products at the peak
    assert by_name["product"].floor_ms == pytest.approx(products_ms, abs=1e-4)
    assert by_name["frame, 3 names"].floor_ms >= by_name["product"].floor_ms
    assert by_name["sleep"].floor_ratio is None
    assert all(row.runs == 4 and 0 < row.median_ms <= row.p95_ms for row in rows)


def test_no_floor_is_above_what_was_measured(monkeypatch):
    monkeypatch.setattr(stage_bench, "build_segmenter", lambda *_, **__: Product())
    # A device that does everything else faster than the products that were tried.
    monkeypatch.setattr(stage_bench, "peak_tflops", lambda device, kind: 1e-9)
    image = np.zeros((16, 16, 3), np.uint8)
    rows, _ = stage_bench.time_stages(PipelineConfig(), image, names=3, runs=4, warmup=1)
    ratios = {row.stage: row.median_ms / row.floor_ms for row in rows if row.floor_ms}
    assert "product" in ratios
    assert min(ratios.values()) >= 1


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_peak_is_measured_in_the_numbers_of_the_model(kind):
    assert 1e-4 < stage_bench.peak_tflops("cpu", kind) < 1e3
