"""What `torchrun` starts in the test of sharding: the toy evaluation, its summary on stdout."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace


def main(resume: str) -> None:
    spec = spec_from_file_location("toys", Path(__file__).with_name("conftest.py"))
    toys = module_from_spec(spec)
    spec.loader.exec_module(toys)

    from ovseg_ros.evaluation.evaluate import evaluate
    from ovseg_ros.evaluation.protocol import EvaluationConfig
    from ovseg_ros.evaluation.shards import shard_of_process

    pipeline = SimpleNamespace(segmenter=toys.ToySegmenter(), discoverer=toys.ToyDiscoverer())
    config = EvaluationConfig(vocabulary="auto", seed=100)
    with shard_of_process() as shard:
        result = evaluate(
            pipeline, toys.ToyData(broken={1}), config, resume=Path(resume), shard=shard
        )
    if shard.first:
        print(json.dumps(result.summary()))


if __name__ == "__main__":
    main(sys.argv[1])
