"""`ovseg demo`: the whole graph on the robot cell for about a minute, and a report of it.

Camera, segmentation with discovery, and evaluation run as processes of their own, on a ROS domain
of their own; this process is their operator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ovseg_ros.demo import report as demo_report
from ovseg_ros.demo.children import ChildError, Children
from ovseg_ros.demo.figures import figures, missing, query_candidates, rate_hz
from ovseg_ros.demo.log import DemoLog, Phase
from ovseg_ros.demo.operator import EVALUATION, Operator
from ovseg_ros.nodes.executor import own_context, spun
from ovseg_ros.nodes.session import ros_domain, signals_ignored, signals_interrupt
from ovseg_ros.nodes.up import node_commands
from ovseg_ros.presets import DEFAULT
from ovseg_ros.robot_cell.objects import BY_NAME
from ovseg_ros.robot_cell.recording import RecordedSequence
from ovseg_ros.srv import SetVocabulary

SECONDS = 45.0
"""Measured time in seconds; start-up and report come on top."""

_AUTOMATIC, _FIXED, _AGAIN = 25 / 45, 10 / 45, 10 / 45  # shares of the measured time
_START_S, _ANSWER_S = 180.0, 20.0
_STOP_S, _INTERRUPTED_STOP_S = 15.0, 4.0
_QUERY_SHARE = 0.005  # of the picture: what is smaller is not asked for
_SCORES = "evaluation.json"


class DemoError(RuntimeError):
    """The demo cannot go on; the text says why."""


def run_demo(
    out: Path,
    seconds: float = SECONDS,
    preset: str = DEFAULT,
    commands: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Run the demo and write its report.

    Args:
        out: Folder for overlay.png, overlay.mp4, report.html, report.json and the nodes' logs.
        seconds: Measured time in seconds.
        preset: Name of a preset, or a parameter file.
        commands: Command lines to start instead of the preset's, by the name of their node.

    Returns:
        0 if every figure was measured, 1 if not, 130 after Ctrl-C or SIGTERM.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        with signals_interrupt():
            demo = Demo(out, seconds, preset, commands, console)
            evaluation = demo.run()
            report = {
                **figures(demo.log, evaluation),
                "start_up_s": demo.start_up_s,
                "preset": str(preset),
                "evaluation": evaluation,
            }
            holes = missing(report)
            demo_report.write(out, demo.log, report, began=began, console=console)
    except KeyboardInterrupt:
        console.print("Stopped; every node has ended.")
        return 130
    except (ChildError, DemoError, ValueError, OSError) as error:
        console.print(f"error: {error}", markup=False, style="red", soft_wrap=True)
        return 1
    problems = [f"not measured: {hole}" for hole in holes]
    problems += [f"did not end cleanly: {node}" for node in demo.unclean]
    for problem in problems:
        console.print(f"error: {problem}", markup=False, style="red", soft_wrap=True)
    return 1 if problems else 0


def demo_commands(out: Path, preset: str) -> dict[str, list[str]]:
    """Return the command line of each process of the demo.

    Raises:
        ValueError: if there is no such preset.
    """
    return node_commands(
        preset=preset,
        camera="sim",
        evaluate=True,
        report_path=(out / _SCORES).resolve(),
        overrides=[f"{EVALUATION}:autostart:=false"],  # start-up is not scored
    )


class Demo:
    """One run of the graph: starts it, goes through the phases, stops it."""

    def __init__(
        self,
        out: Path,
        seconds: float,
        preset: str,
        commands: Mapping[str, Sequence[str]] | None,
        console: Console,
    ) -> None:
        """Prepare; nothing is started yet.

        Raises:
            ValueError: if there is no such preset or no recording.
        """
        self.log = DemoLog()
        self.start_up_s: dict[str, float] = {}
        self.unclean: list[str] = []
        self._out, self._seconds, self._console = out, seconds, console
        self._scores = out / _SCORES
        self._recording = RecordedSequence()
        self._commands = commands or demo_commands(out, preset)

    def run(self) -> dict[str, Any]:
        """Run the graph through all phases and return the evaluation node's report."""
        self._out.mkdir(parents=True, exist_ok=True)
        self._scores.unlink(missing_ok=True)
        with ros_domain() as (domain, env):
            self._say(f"Starting {', '.join(self._commands)} (ROS_DOMAIN_ID={domain})")
            self._children = Children(self._out / "logs", env)
            grace_s = _INTERRUPTED_STOP_S
            try:
                with _operator(self.log, domain) as self._operator:
                    began = time.monotonic()
                    for name, command in self._commands.items():
                        self._children.start(name, command)
                    self._start_up(began)
                    self._go_through_phases()
                    grace_s = _STOP_S
            finally:
                with signals_ignored():
                    codes = self._children.stop(grace_s)
        self.unclean = [f"{name} ({code})" for name, code in codes.items() if code]
        with suppress(FileNotFoundError):
            return json.loads(self._scores.read_text())
        raise DemoError(f"{EVALUATION} has left no report in {self._scores}")

    def _start_up(self, began: float) -> None:
        log = self.log
        self._wait(lambda: log.masks, _START_S, "the first label mask")
        self.start_up_s["first_mask"] = round(time.monotonic() - began, 2)
        self._wait(log.automatic, _START_S, "the first discovered words")
        self.start_up_s["first_words"] = round(time.monotonic() - began, 2)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            self._ask(self._operator.change_state(EVALUATION, transition), "the evaluation node")
        self._wait(lambda: self._operator.reports, _ANSWER_S, "the evaluation node's report")
        self._say(
            f"Started: first mask after {self.start_up_s['first_mask']:.1f} s, first words after "
            f"{self.start_up_s['first_words']:.1f} s: {_words(log)}"
        )

    def _go_through_phases(self) -> None:
        operator, request = self._operator, SetVocabulary.Request
        self._phase("automatic", "words that discovery finds", _AUTOMATIC)
        names = tuple(dict.fromkeys(self._recording.instance_categories.values()))
        self._set_vocabulary(request.MODE_FIXED, *names)
        self._phase("ground-truth names", f"the {len(names)} true names, set as FIXED", _FIXED)
        self._query()
        self._set_vocabulary(request.MODE_AUTO)
        operator.watch_overlay(True)
        self._phase("automatic again", "back to discovery, overlay subscribed", _AGAIN)

    def _phase(self, name: str, title: str, share: float) -> None:
        """Let the graph run for a share of the measured time."""
        start, seconds = time.time_ns(), share * self._seconds
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        console = self._console
        quiet = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            bar = progress.add_task(title, total=seconds)
            while (passed := (time.time_ns() - start) / 1e9) < seconds:
                self._children.check()
                progress.update(bar, completed=passed)
                time.sleep(0.2)
        phase = Phase(name=name, start=start, end=time.time_ns())
        self.log.phases.append(phase)
        rate = rate_hz((m.arrival for m in self.log.masks), [(phase.start, phase.end)])
        self._say(f"{name}: {title}; {rate or 0:.1f} masks per second; {_words(self.log)}")

    def _set_vocabulary(self, mode: int, *names: str) -> None:
        reply = self._ask(self._operator.set_vocabulary(mode, *names), "set_vocabulary")
        if not reply.success:
            raise DemoError(f"set_vocabulary was refused: {reply.message}")
        self._wait(
            lambda: max(list(self.log.versions.values()), default=0) >= reply.version,
            _ANSWER_S,
            f"a mask with vocabulary version {reply.version}",
        )

    def _query(self) -> None:
        """Ask for the first thing in sight that its name and attribute mean alone."""
        operator, recording = self._operator, self._recording
        candidates = query_candidates(
            recording.instance_categories,
            recording.instance_attributes,
            lambda name: BY_NAME[name].movable,
        )

        def visible() -> tuple[str, str] | None:
            truths = list(operator.truths.values())
            if not truths or not operator.truth_names:
                return None
            shares = (
                (pair, (truths[-1] == operator.truth_names[pair[1]]).mean()) for pair in candidates
            )
            return next((pair for pair, share in shares if share >= _QUERY_SHARE), None)

        def ask() -> dict[str, Any] | None:
            reply = self._ask(operator.query(phrase), "query")
            if not reply.success:
                raise DemoError(f"query was refused: {reply.message}")
            time.sleep(0.3)  # the ground truth of the newest frame may still be on its way
            return operator.judge(reply, phrase, category)

        operator.watch_truth(True)
        phrase, category = self._wait(visible, _ANSWER_S, "a thing to ask for in the picture")
        answer = self._wait(ask, _ANSWER_S, "the ground truth of a query's frame")
        operator.watch_truth(False)
        self.log.query = answer
        self._say(f"query {phrase!r}: present={answer['present']}, IoU {answer['iou']}")

    def _ask(self, future: Any, what: str) -> Any:
        return self._wait(lambda: future.done() and future.result(), _ANSWER_S, f"{what} to answer")

    def _wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Wait until a condition holds while all nodes run, and return what it gives."""
        end = time.monotonic() + timeout_s
        while not (result := condition()):
            self._children.check()
            if time.monotonic() > end:
                raise DemoError(f"waited {timeout_s:g} s in vain for {what}")
            time.sleep(0.02)
        return result

    def _say(self, text: str) -> None:
        self._console.print(f"[demo] {text}", markup=False, soft_wrap=True)


def _words(log: DemoLog) -> str:
    names = log.vocabularies[-1].names.values() if log.vocabularies else ()
    return f"{len(names)} words: {', '.join(names)}"


@contextmanager
def _operator(log: DemoLog, domain: int) -> Iterator[Operator]:
    """Give an operator that is spun in a thread."""
    with own_context(domain) as context:
        operator = Operator(log, context=context)
        with spun(operator, SingleThreadedExecutor(context=context)):
            yield operator
