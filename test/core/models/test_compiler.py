"""The default preset starts and discovers without torch's compiler, which works when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(600)  # two processes that import everything, on a busy machine

WITHOUT = """
import sys
import numpy as np
from ovseg_ros.presets import load_preset
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.types import Vocabulary

config = load_preset("robot_cell")
segmenter = build_segmenter(config.segmenter, device="cpu")
discoverer = build_discoverer(config.discovery, device="cpu", dtype="auto")
image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
segmenter.segment(image[None], Vocabulary.of("mug"))
discoverer.discover(image)
assert not [name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))]
"""

AFTERWARDS = """
import sys
import torch
from ovseg_ros.models.compiler import put_off_compiler

with put_off_compiler():
    from torchvision.ops.roi_align import is_compile_supported

    @torch.compiler.disable(reason="a test")
    def double(x):
        return 2 * x

    assert double(3) == 6  # called while the import goes on
assert "torch._dynamo" not in sys.modules
assert isinstance(is_compile_supported("cpu"), bool)
assert "torch._dynamo.convert_frame" in sys.modules

@torch.compile(backend="eager")
def more(x):
    return double(x) + 1

assert more(torch.ones(2)).tolist() == [3, 3]
with put_off_compiler():  # no stand-ins for what is there
    assert hasattr(sys.modules["torch._dynamo"], "convert_frame")
"""


def run(program: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=500
    )
    assert found.returncode == 0, found.stderr


def test_the_default_preset_does_without_the_compiler():
    run(WITHOUT)


def test_the_compiler_works_when_it_is_used():
    run(AFTERWARDS)
