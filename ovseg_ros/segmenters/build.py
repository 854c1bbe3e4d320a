"""Segmenters by name: which one runs, and the options of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.segmenters.systems import SYSTEMS, load_part, load_system

if TYPE_CHECKING:

    @dataclasses.dataclass(frozen=True, kw_only=True, init=False)
    class SegmenterConfig(Config):
        """Which segmenter runs, and the options of each system under its name."""

        name: str

        def __init__(self, **options: Any) -> None: ...  # noqa: D107
        def __getattr__(self, system: str) -> Any: ...  # noqa: D105

else:

    def _used(self) -> tuple[str, ...]:
        """Return the fields of the segmenter that is chosen."""
        return ("name", self.name)

    _OPTIONS = {name: load_part(name, load_system(name).config) for name in SYSTEMS}
    SegmenterConfig = dataclasses.make_dataclass(
        "SegmenterConfig",
        [
            ("name", str, option("simzss", "which segmenter runs", choices=tuple(SYSTEMS))),
            *((name, kind, kind()) for name, kind in _OPTIONS.items()),
        ],
        bases=(Config,),
        namespace={
            "__doc__": "Which segmenter runs, and the options of each system under its name.",
            "__module__": __name__,
            "used": _used,
        },
        frozen=True,
        kw_only=True,
    )


def build_segmenter(
    config: SegmenterConfig, *, device: str = "auto", dtype: str = "auto"
) -> Segmenter:
    """Build the segmenter that ``config.name`` names; see its class for errors."""
    kind = load_part(config.name, load_system(config.name).segmenter)
    segmenter: Segmenter = kind(getattr(config, config.name), device=device, dtype=dtype)
    return segmenter
