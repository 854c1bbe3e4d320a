"""Captions of a frame or of a region, from what is visible in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.robot_cell.objects import SCENERY

MIN_SHARE = 0.003  # smaller instances are not worth a word


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def noun_phrase(instance: Instance, attribute: bool = True, count: int = 1) -> str:
    """Name an instance: "a red mug", "the gray floor", "two yellow ducks".

    Args:
        instance: what to name.
        attribute: whether to put its colour or material before the noun.
        count: how many alike there are; spelled out from two on.
    """
    words = instance.category
    if attribute and instance.attribute:
        words = f"{instance.attribute} {words}"
    if count > 1:
        number = {2: "two", 3: "three", 4: "four"}.get(count, "several")
        return f"{number} {words}s"
    if instance.category in ("floor", "wall"):
        return f"the {words}"
    return _article(words)


def join_phrases(phrases: Sequence[str]) -> str:
    """Join noun phrases: "a", "a and b", "a, b and c"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _phrases(
    instances: Sequence[Instance], rng: np.random.Generator, attribute_share: float
) -> list[str]:
    """Name instances in order; alike ones are counted in one phrase."""
    groups: dict[tuple[str, str | None], tuple[Instance, int]] = {}
    for instance in instances:
        key = (instance.category, instance.attribute)
        first, count = groups.get(key, (instance, 0))
        groups[key] = (first, count + 1)
    named = []
    for first, count in groups.values():
        phrase = noun_phrase(first, bool(rng.random() < attribute_share), count)
        if phrase not in named:
            named.append(phrase)
    return named


def region_caption(instances: Sequence[Instance], rng: np.random.Generator | None = None) -> str:
    """Name a subset of instances in one short phrase, the largest first.

    Args:
        instances: the instances inside the region, at least one.
        rng: when given, attributes are left out now and then; otherwise all are named.

    Returns:
        For example "a red mug", "a wooden table and a tray", "the gray floor".

    Raises:
        ValueError: if `instances` is empty.
    """
    if not instances:
        raise ValueError("instances must hold at least one instance; got none")
    ordered = sorted(instances, key=lambda instance: -instance.pixels)
    share = 1.0 if rng is None else 0.8
    return join_phrases(_phrases(ordered, rng or np.random.default_rng(0), share))


def frame_captions(
    instances: Sequence[Instance], pixels: int, rng: np.random.Generator, count: int = 3
) -> tuple[str, ...]:
    """Describe a frame in several sentences.

    The first caption names (nearly) everything, the second a few objects and what they stand on,
    the third the surroundings; further ones repeat the cycle with other choices.

    Args:
        instances: what is visible.
        pixels: number of pixels of the frame; instances below 0.3 % of it stay unnamed.
        rng: source of the random choices.
        count: number of captions.
    """
    seen = [i for i in instances if i.pixels >= MIN_SHARE * pixels]
    if not seen:
        seen = sorted(instances, key=lambda i: -i.pixels)[:1]
    things = [i for i in seen if i.category not in SCENERY]
    stuff = {i.category: i for i in seen if i.category in SCENERY}
    makers = (_full, _partial, _surroundings)
    return tuple(makers[k % 3](things, stuff, rng) for k in range(count))


def _shuffled(items: Sequence[Instance], rng: np.random.Generator) -> list[Instance]:
    return [items[k] for k in rng.permutation(len(items))]


def _name(instance: Instance, rng: np.random.Generator, share: float = 0.65) -> str:
    return noun_phrase(instance, bool(rng.random() < share))


def _opening(text: str, rng: np.random.Generator) -> str:
    start = str(rng.choice(["", "", "", "", "", "a photo of ", "there is "]))
    if not text or (start == "there is " and not text.startswith(("a ", "an "))):
        return text
    return start + text


def _full(things: Sequence[Instance], stuff: dict[str, Instance], rng: np.random.Generator) -> str:
    """Every object (in random order), then the surfaces."""
    first = _shuffled(things, rng)
    if "tray" in stuff:
        first.append(stuff["tray"])
    if "robot arm" in stuff:
        first.insert(int(rng.integers(len(first) + 1)), stuff["robot arm"])
    text = join_phrases(_phrases(first, rng, 0.8))
    if "table" in stuff:
        table = _name(stuff["table"], rng, 0.8)
        text = f"{text} on {table}" if text else table
    ends = [_name(stuff[name], rng) for name in ("floor", "wall") if name in stuff]
    if ends and rng.random() < 0.5:
        text = f"{text}, with {join_phrases(ends)}" if text else join_phrases(ends)
    return _opening(text, rng)


def _partial(
    things: Sequence[Instance], stuff: dict[str, Instance], rng: np.random.Generator
) -> str:
    """Say where one to three of the objects are."""
    chosen = _shuffled(things, rng)[: int(rng.integers(1, 4))]
    if not chosen:
        return _surroundings(things, stuff, rng)
    inside = [i for i in chosen if i.in_tray]
    text = join_phrases(_phrases(chosen, rng, 0.85))
    where: list[str] = []
    if inside and len(inside) == len(chosen) and "tray" in stuff:
        where.append(f"{text} in {_name(stuff['tray'], rng)}")
    if "table" in stuff:
        where.append(f"{text} on {_name(stuff['table'], rng)}")
    if "robot arm" in stuff:
        arm = _name(stuff["robot arm"], rng)
        where += [f"{arm} next to {text}", f"{text} in front of {arm}"]
    if "wall" in stuff and rng.random() < 0.3:
        where.append(f"{text} in front of {_name(stuff['wall'], rng)}")
    where = where or [text]
    return _opening(where[int(rng.integers(len(where)))], rng)


def _surroundings(
    things: Sequence[Instance], stuff: dict[str, Instance], rng: np.random.Generator
) -> str:
    """Name the surfaces and the arm, and at most two objects."""
    some = _shuffled(things, rng)[: max(int(rng.integers(0, 3)), not stuff)]
    names = {name: _name(instance, rng, 0.75) for name, instance in stuff.items()}
    parts = [names[n] for n in ("robot arm", "tray") if n in names]
    parts += _phrases(some, rng, 0.7)
    text = join_phrases([parts[k] for k in rng.permutation(len(parts))])
    if "table" in names:
        text = f"{text} on {names['table']}" if text else names["table"]
    if "floor" in names:
        floor = names["floor"]
        text = (
            f"{text} above {floor}"
            if text and rng.random() < 0.4
            else (f"{text} and {floor}" if text else floor)
        )
    if "wall" in names:
        joint = "in front of" if rng.random() < 0.6 else "and"
        text = f"{text} {joint} {names['wall']}" if text else names["wall"]
    return text
