"""Step costs: three objectives on the same towers, memory in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ovseg_ros import cli
from ovseg_ros.models.tokenizer import train_tokenizer
from ovseg_ros.segmenters.simzss import bench as simzss_bench
from ovseg_ros.segmenters.simzss.bench import measure_steps
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    tokenizer = train_tokenizer(["a mug and a table"], vocab_size=300, context_length=32)
    visual = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 1}
    text = {"context_length": 32, "width": 16, "heads": 1, "layers": 1}
    torch.manual_seed(0)
    text["vocab_size"] = tokenizer.vocab_size
    model = SimZSS(Architecture(visual=visual, text=text, image_hw=(16, 16)))
    save_simzss(model, tokenizer, tmp_path_factory.mktemp("bench"))
    return Path(tmp_path_factory.getbasetemp() / "bench0")


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures memory right here: starting three processes takes seconds."""
    monkeypatch.setattr(simzss_bench, "_alone", simzss_bench._peak_mib_on)


def test_every_objective_is_timed_alike(weights: Path):
    costs = measure_steps(weights, device="cpu", batch=4, runs=3, warmup=1)
    assert list(costs) == ["clip", "lit", "simzss"]
    for name, cost in costs.items():
        assert (cost.stage, cost.device, cost.runs) == (f"{name}, 4 pairs", "cpu", 3)
        assert 0 < cost.median_ms <= cost.p95_ms
        assert cost.peak_mib > 10


def test_only_what_an_objective_trains_moves(weights: Path, monkeypatch: pytest.MonkeyPatch):
    models = {}
    real = simzss_bench.load_simzss

    def spy(directory: Path):
        model, tokenizer = real(directory)
        models[objective] = model
        return model, tokenizer

    monkeypatch.setattr(simzss_bench, "load_simzss", spy)
    start = real(weights)[0].state_dict()
    for objective in ("clip", "lit", "simzss"):
        simzss_bench._build(objective, weights, torch.device("cpu"), 4, 0)()
        moved = {
            key.split(".")[0]
            for key, value in models[objective].state_dict().items()
            if not torch.equal(value, start[key])
        }
        assert moved == {"text", "logit_scale"} | ({"visual"} if objective == "clip" else set())


def test_the_command(weights: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["bench", "simzss-train", "--runs", "2", "--warmup", "0", "--batch", "2"]
    place = f"segmenter.simzss.weights={weights}"
    with pytest.raises(SystemExit) as done:
        cli.main([*arguments, "--device", "cpu", "--set", place])
    assert done.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["clip", "lit", "simzss"]
    assert all(", 2 pairs, " in line for line in lines[1:])
