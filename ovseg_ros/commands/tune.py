"""`ovseg tune`: hyper-parameters by reward, without masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ovseg_ros.commands.options import DEVICE, SET, with_commas
from ovseg_ros.config import override
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.pnp_ovss import CLIP
from ovseg_ros.whole_files import write_json

if TYPE_CHECKING:
    from ovseg_ros.segmenters.pnp_ovss.tuning import Trial


def tune(
    segmenter: str = typer.Argument("pnp_ovss", help="What is tuned: pnp_ovss."),
    images: list[Path] = typer.Option(..., "--images", help="Photographs, or folders of them."),
    names: str = typer.Option(..., help="Names with commas: what may be seen in them."),
    preset: str = typer.Option("pnp_ovss", "--preset", "-p", help="Preset by name, or a file."),
    scorer: str = typer.Option(
        "",
        help="Who rewards: a CLIP, BLIP or SimZSS; if empty robot_cell/simzss where the preset "
        f"stands on a tower, else {CLIP}.",
    ),
    out: Path = typer.Option(Path("out/tune"), help="Folder of the trials and the picture."),
    trials: int = typer.Option(60, min=1, help="Settings that are tried."),
    limit: int | None = typer.Option(None, min=1, help="Only the first images."),
    seed: int = typer.Option(0, min=0, help="Seed of the settings."),
    odds: str = typer.Option(
        "image",
        help="Softmax of the reward over the names of the image (published) or the vocabulary.",
    ),
    template: bool = typer.Option(
        False, help="Put the judge's opening, such as 'a photo of a', before names."
    ),
    crf: bool = typer.Option(False, "--crf", help="Reward masks after the CRF (slow)."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Search layer, head, threshold and blur of PnP-OVSS by reward.

    Needs images and names, and no mask. A search that was stopped goes on where it was.
    """
    if segmenter != "pnp_ovss":
        raise ValueError(f"segmenter: expected pnp_ovss, got {segmenter!r}")
    from tqdm import tqdm

    from ovseg_ros.evaluation.protocol import fingerprint
    from ovseg_ros.photographs import find_images, read_image
    from ovseg_ros.programs import need
    from ovseg_ros.segmenters.pnp_ovss.landscape import draw_landscape
    from ovseg_ros.segmenters.pnp_ovss.scorers import load_scorer
    from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
    from ovseg_ros.segmenters.pnp_ovss.tuning import (
        Judge,
        Masks,
        SearchConfig,
        best,
        draw_settings,
        judge_weights,
        search,
        trials_file,
    )
    from ovseg_ros.vocabulary.config import distinct

    need("matplotlib")
    config = pipeline_options(preset, sets, device=device, segmenter__name="pnp_ovss")
    fixed = {"trials": trials, "seed": seed, "crf": crf, "odds": odds, "template": template}
    search_config = override(SearchConfig(), [], fixed)
    words = distinct(with_commas(names))
    if len(words) < 2:
        raise ValueError(f"--names: expected at least two names with commas, got {names!r}")
    files = find_images(images)[:limit]
    options = config.segmenter.pnp_ovss
    judge = judge_weights(scorer, options)
    model = PnpOvssSegmenter(options, device=config.device, dtype=config.dtype)
    judged_by = load_scorer(judge, device=config.device, template=template)
    masks = Masks(model, [read_image(file) for file in files], words, search_config)
    settings = draw_settings(model.matcher.layers, model.matcher.heads, search_config)
    models = [fingerprint(w) for w in (options.weights, options.tower, judge) if w]
    log = trials_file(
        out, options, search_config.crf, odds, template, models, words, [str(f) for f in files]
    )
    try:
        with tqdm(total=len(settings), unit="trial") as bar:
            top = 0.0

            def report(trial: Trial) -> None:
                nonlocal top
                top = max(top, trial.reward)
                bar.set_postfix(best=f"{top:.3f}")
                bar.update()

            found = search(masks, Judge(judged_by, words, odds=odds), settings, log, report=report)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130) from None
    draw_landscape(found, out / "landscape.png")
    top_trial = best(found)
    setting = top_trial.setting
    chosen = {
        "segmenter.pnp_ovss.saliency.layer": setting.layer,
        "segmenter.pnp_ovss.saliency.head": setting.head,
        "segmenter.pnp_ovss.masks.threshold": setting.threshold,
        "segmenter.pnp_ovss.masks.sigma": setting.sigma,
    }
    write_json(out / "best.json", {"reward": top_trial.reward, "options": chosen})
    typer.echo(f"best reward {top_trial.reward:.4f} of {len(found)} trials, {len(files)} images")
    typer.echo(" ".join(f"--set {key}={value}" for key, value in chosen.items()))
    typer.echo(f"{out / 'landscape.png'}  {log}")
