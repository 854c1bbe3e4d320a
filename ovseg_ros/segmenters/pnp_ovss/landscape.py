"""A picture of the rewards of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ovseg_ros.segmenters.pnp_ovss.tuning import Trial, best


def draw_landscape(trials: Sequence[Trial], path: Path) -> None:
    """Draw the mean reward over layer and head, over threshold and blur, and the best so far."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (rows, columns) in zip(
        axes, (("layer", "head"), ("threshold", "sigma")), strict=False
    ):
        _draw_grid(figure, axis, trials, rows, columns)
    rewards = [trial.reward for trial in trials]
    axes[2].plot(range(1, len(rewards) + 1), rewards, ".", color="0.6", label="trial")
    axes[2].plot(
        range(1, len(rewards) + 1), np.maximum.accumulate(rewards), drawstyle="steps-post",
        label="best so far",
    )  # fmt: skip
    axes[2].set(xlabel="trial", ylabel="reward")
    axes[2].legend()
    axes[2].grid(alpha=0.3)
    top = best(trials)
    figure.suptitle(f"best reward {top.reward:.3f}: {top.setting}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_grid(figure, axis, trials: Sequence[Trial], rows: str, columns: str) -> None:  # type: ignore[no-untyped-def]
    """Draw mean rewards over two things that were searched; white where nothing was tried."""
    down = sorted({getattr(trial.setting, rows) for trial in trials})
    across = sorted({getattr(trial.setting, columns) for trial in trials})
    total, count = np.zeros((2, len(down), len(across)))
    for trial in trials:
        place = (
            down.index(getattr(trial.setting, rows)),
            across.index(getattr(trial.setting, columns)),
        )
        total[place] += trial.reward
        count[place] += 1
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    image = axis.imshow(mean, aspect="auto", cmap="viridis")
    axis.set(xlabel=columns, ylabel=rows, title="mean reward")
    axis.set_xticks(range(len(across)), [f"{value:g}" for value in across])
    axis.set_yticks(range(len(down)), [f"{value:g}" for value in down])
    figure.colorbar(image, ax=axis)
