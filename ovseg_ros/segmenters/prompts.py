"""Prompt templates: sentences in which a name meets a text encoder."""

from __future__ import annotations

from ovseg_ros.segmenters.systems import SYSTEMS, load_part, load_system

TEMPLATES: dict[str, tuple[str, ...]] = {
    "none": ("{}",),
    "photo": ("a photo of a {}.",),
    "cell": (
        "a {}.",
        "a photo of a {}.",
        "there is a {} in the scene.",
        "a picture of a {}.",
    ),
}
"""Template sets by name. ``clip``, open_clip's 80 ImageNet prompts, and those of the systems are
added on demand."""


def template_names() -> tuple[str, ...]:
    """Return the names of all template sets."""
    own = (name for system in SYSTEMS for name in load_system(system).templates)
    return (*TEMPLATES, "clip", *own)


def templates(name: str) -> tuple[str, ...]:
    """Return the template set called ``name``, each with one ``{}`` for the category.

    Raises:
        ValueError: listing the valid names if there is no such set.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    if name == "clip":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    for system in SYSTEMS:
        place = load_system(system).templates.get(name)
        if place is not None:
            found = load_part(system, place)
            return tuple(found() if callable(found) else found)
    raise ValueError(f"templates: expected one of {', '.join(template_names())}, got {name!r}")
