"""The `ovseg` command: every part of the package from a shell.

Commands live in ``commands/``, one file each, and import what they need when they run, so that
``ovseg --help`` answers at once.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence

import typer

from ovseg_ros.commands import (
    attributes,
    bench,
    calibrate,
    classification,
    convert,
    doctor,
    evaluation,
    graph,
    images,
    layout,
    presets,
    render,
    table,
    train,
    tune,
    view,
)
from ovseg_ros.programs import explain

app = typer.Typer(
    name="ovseg",
    help="Open-vocabulary segmentation for robots that finds its own words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _everywhere(
    debug: bool = typer.Option(False, help="Show the traceback of an error. Goes anywhere."),
) -> None:
    pass  # `main` takes --debug out of the arguments, wherever it stands


app.command("demo")(graph.demo)
app.command("up")(graph.up)
app.command("view")(view.view)
app.command("segment")(images.segment)
app.command("discover")(images.discover)
app.command("eval")(evaluation.evaluate)
app.command("eval-classification")(classification.evaluate_classification)
app.command("bench")(bench.bench)
app.command("table")(table.table)
app.command("render")(render.render)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("attributes")(attributes.attributes)
app.command("presets")(presets.presets)
app.command("layout")(layout.layout)
app.command("doctor")(doctor.doctor)
app.command("pull")(presets.pull)
app.command("convert")(convert.convert)
app.command("calibrate")(calibrate.calibrate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 fine, 1 some inputs failed, 2 a mistake, 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app([word for word in words if word != "--debug"], prog_name="ovseg")
    except (ValueError, OSError, ImportError) as error:
        if debug:
            raise
        complain(explain(error))
        raise SystemExit(2) from None


def complain(message: str) -> None:
    """Print an error as one red line."""
    typer.secho("ovseg: " + " ".join(message.split()), fg="red", err=True)


if __name__ == "__main__":
    main()
