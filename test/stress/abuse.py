"""Abuses a running graph and says what it did to it: `docs/reliability.md` has the figures.

Start a graph, with models (`ovseg up`) or without (`python test/ros/fakes.py`), then in the same
ROS domain, with the package on the path:

    python test/stress/abuse.py toggles --count 20000 --clients 4
    python test/stress/abuse.py swaps --count 16000
    python test/stress/abuse.py transitions --count 200
    python test/stress/abuse.py services --seconds 60 --clients 8
    python test/stress/abuse.py soak --seconds 1800

Prints one line of JSON; exits with 1 if a node is gone, silent, or has given a wrong name.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from ovseg_ros.msg import FrameCategories
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.executor import PatientExecutor, spin_through
from ovseg_ros.nodes.images import image_to_msg
from ovseg_ros.srv import DiscoverVocabulary, GetVocabulary, QuerySegmentation, SetVocabulary

SEGMENTATION, DISCOVERY = "/segmentation_node", "/discovery_node"
WORDS = ("red block", "green block", "blue block", "floor", "table", "mug")
CYCLE = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)
Call = tuple[type, str, dict[str, Any]]


class Attacker(Node):
    """Publishes images, listens to what comes of them, and calls services."""

    def __init__(self, topic: str, rate_hz: float) -> None:
        """Start to publish; a rate of 0 leaves that to a camera."""
        super().__init__("attacker")
        self._group = ReentrantCallbackGroup()
        self.masks = self.wrong = self.checked = 0
        self.names: dict[tuple[str, int], set[str]] = {}
        self.create_subscription(Image, f"{SEGMENTATION}/label_mask", self._on_mask, 10)
        self.create_subscription(
            FrameCategories, f"{SEGMENTATION}/categories", self._on_categories, 10
        )
        self.create_subscription(
            VocabularyMsg, f"{SEGMENTATION}/vocabulary", self._on_vocabulary, LATCHED_QOS
        )
        self._image = self.create_publisher(Image, topic, QoSProfile(depth=1))
        colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
        self._picture = np.repeat(np.repeat(colours[None], 240, axis=0), 107, axis=1)
        if rate_hz:
            self.create_timer(1 / rate_hz, self._publish)

    def _publish(self) -> None:
        message = image_to_msg(self._picture, "rgb8", Image().header)
        message.header.stamp = self.get_clock().now().to_msg()
        self._image.publish(message)

    def _on_mask(self, message: Image) -> None:
        self.masks += 1

    def _on_vocabulary(self, message: VocabularyMsg) -> None:
        key = message.session, message.version
        self.names[key] = {category.name for category in message.categories}

    def _on_categories(self, message: FrameCategories) -> None:
        names = self.names.get((message.session, message.vocabulary_version))
        if names is not None:
            self.checked += 1
            self.wrong += not {category.name for category in message.categories} <= names

    def run(self, calls: Iterator[Call], clients: int, until: Callable[[int], bool]) -> list[Any]:
        """Make calls from ``clients`` threads, one at a time each, and return the replies."""
        lock, replies, sent = threading.Lock(), [], itertools.count()

        def work() -> None:
            made: dict[str, Any] = {}
            while not until(next(sent)):
                with lock:
                    kind, name, fields = next(calls)
                if name not in made:
                    made[name] = self.create_client(kind, name, callback_group=self._group)
                future = made[name].call_async(kind.Request(**fields))
                done = threading.Event()
                future.add_done_callback(lambda _, done=done: done.set())
                replies.append(future.result() if done.wait(60.0) else None)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return replies

    def rate(self, seconds: float) -> float:
        """Return the masks per second while nothing else is asked."""
        before = self.masks
        time.sleep(seconds)
        return (self.masks - before) / seconds


def toggles() -> Iterator[Call]:
    """Yield calls that enable and disable segmentation."""
    for number in itertools.count():
        yield SetBool, f"{SEGMENTATION}/enable", {"data": bool(number % 2)}


def swaps() -> Iterator[Call]:
    """Yield calls that set other words."""
    chance = random.Random(0)
    while True:
        names = chance.sample(WORDS, chance.randint(1, len(WORDS)))
        yield SetVocabulary, f"{SEGMENTATION}/set_vocabulary", {"names": names, "mode": 1}


def transitions() -> Iterator[Call]:
    """Yield transitions, every fifth one impossible."""
    for number, step in enumerate(itertools.cycle(CYCLE)):
        if number % 4 == 0:
            yield ChangeState, f"{SEGMENTATION}/change_state", _transition(step=77)
        yield ChangeState, f"{SEGMENTATION}/change_state", _transition(step=step)


def _transition(step: int) -> dict[str, Any]:
    return {"transition": Transition(id=step)}


def services() -> Iterator[Call]:
    """Yield calls of every service in turn."""
    vocabularies = swaps()
    for number in itertools.count():
        yield QuerySegmentation, f"{SEGMENTATION}/query", {"names": ["red block", "mug"]}
        yield GetVocabulary, f"{SEGMENTATION}/get_vocabulary", {}
        yield DiscoverVocabulary, f"{DISCOVERY}/discover", {}
        if number % 4 == 0:
            yield next(vocabularies)


def main() -> None:
    """Run one attack."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("attack", choices=("toggles", "swaps", "transitions", "services", "soak"))
    parser.add_argument("--count", type=int, default=10**9, help="calls at most")
    parser.add_argument("--seconds", type=float, default=3600.0, help="time at most")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--image", default="/image", help="camera topic")
    parser.add_argument("--rate", type=float, default=10.0, help="images per second; 0: none")
    options = parser.parse_args()
    rclpy.init()
    attacker = Attacker(options.image, options.rate)
    executor = PatientExecutor(num_threads=4)
    executor.add_node(attacker)
    threading.Thread(target=spin_through, args=(executor,), daemon=True).start()
    print(json.dumps(found := attack(attacker, options)), flush=True)
    sys.stdout.flush()
    # At once: threads of the executor are in the middle of publishing.
    os._exit(0 if found["alive"] and found["rate_after_hz"] > 0 and not found["wrong_names"] else 1)


def attack(attacker: Attacker, options: argparse.Namespace) -> dict[str, Any]:
    """Return what an attack did: rates in masks per second before, during and after it."""
    until_first = time.monotonic() + 60.0
    while not attacker.masks and time.monotonic() < until_first:
        time.sleep(0.1)
    idle = attacker.rate(5.0)
    began, before = time.monotonic(), attacker.masks

    def over(number: int) -> bool:
        return number >= options.count or time.monotonic() - began > options.seconds

    noise: list[Any] = []
    if options.attack == "soak":
        time.sleep(options.seconds)
        replies = []
    elif options.attack == "transitions":
        ended = threading.Event()
        noisy = threading.Thread(
            target=lambda: noise.extend(
                attacker.run(services(), max(options.clients, 3), lambda _: ended.is_set())
            )
        )
        noisy.start()
        replies = attacker.run(transitions(), 1, over)
        ended.set()
        noisy.join()
    else:
        calls = {"toggles": toggles, "swaps": swaps, "services": services}[options.attack]()
        replies = attacker.run(calls, options.clients, over)
    seconds = time.monotonic() - began
    during = (attacker.masks - before) / seconds
    restore(attacker)
    answered = [reply for reply in [*replies, *noise] if reply is not None]
    refused = [reply for reply in answered if getattr(reply, "success", True) is False]
    alive = attacker.run(
        iter([(GetState, f"{name}/get_state", {}) for name in (SEGMENTATION, DISCOVERY)] * 2),
        1,
        lambda number: number >= 2,
    )
    return {
        "attack": options.attack,
        "calls": len(replies) + len(noise),
        "answered": len(answered),
        "refused": len(refused),
        "busy": sum("busy" in getattr(reply, "message", "") for reply in refused),
        "seconds": round(seconds, 1),
        "rate_idle_hz": round(idle, 2),
        "rate_during_hz": round(during, 2),
        "rate_after_hz": round(attacker.rate(5.0), 2),
        "names_checked": attacker.checked,
        "wrong_names": attacker.wrong,
        "alive": all(reply is not None for reply in alive),
    }


def restore(attacker: Attacker) -> None:
    """Bring the segmentation node up and enable it, whatever state it was left in."""
    up = [(ChangeState, f"{SEGMENTATION}/change_state", _transition(step)) for step in CYCLE[2:]]
    calls = [*up, (SetBool, f"{SEGMENTATION}/enable", {"data": True})]
    attacker.run(iter(calls), 1, lambda number: number >= len(calls))


if __name__ == "__main__":
    main()
