"""Compiles to bytecode what the programs and tests import, by importing it once.

uv installs sources only, and where PYTHONDONTWRITEBYTECODE is set (many containers set it) every
start of a node would compile torch and transformers again: two thirds of its start.
"""

import contextlib
import importlib
import sys

IMPORTS = (
    "ovseg_ros.nodes.segmentation_node",
    "ovseg_ros.nodes.discovery_node",
    "ovseg_ros.nodes.camera_node",
    "ovseg_ros.nodes.evaluation_node",
    "ovseg_ros.demo.run",
    "ovseg_ros.cli",
    "ovseg_ros.evaluation.evaluate",
    "transformers.models.blip.modeling_blip",
    "transformers.models.blip.processing_blip",
    "transformers.models.bert.tokenization_bert",
    "transformers.generation.utils",
    "HanTa.HanoverTagger",
    "pydensecrf.densecrf",
    "hypothesis",
    "nicegui",
    "playwright.sync_api",
    "pytest",
    "rosbags.highlevel",
    "sklearn.cluster",
    "torchmetrics",
    "xdist.plugin",
)

sys.dont_write_bytecode = False
for name in IMPORTS:
    # One that is not there or fails is not this script's business: who needs it will say so.
    with contextlib.suppress(Exception):
        importlib.import_module(name)
