"""Words the noun extraction must know about; every list is short enough to be read."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COLOURS = frozenset(
    _words(
        "amber aqua azure beige black blue bronze brown burgundy charcoal cobalt colour color "
        "coral cream crimson cyan emerald fuchsia gold gray green grey indigo ivory khaki lavender "
        "lilac lime magenta maroon mauve mustard navy ochre olive orange peach pink plum purple "
        "red rose ruby rust salmon sapphire scarlet silver tan teal turquoise vermilion violet "
        "white yellow"
    )
)
"""Never a category, but see ``THINGS_TOO``."""

THINGS_TOO = frozenset(_words("coral lavender lime mustard olive orange peach plum rose salmon"))
"""Colours that are also things: kept in the plural and at the end of "an ..."."""

STOP_WORDS = _words(
    "area back background base bit body bottom bunch center centre class close close-up closeup "
    "collection color colour corner couple day distance edge end foreground front group half hand "
    "image item kind left length line lot middle number object one pair part photo photograph "
    "picture piece pile place point position rest right row scene series set shape side size "
    "something sort space spot stack style surface thing time top type variety view way"
)
"""Nouns of place, measure and picture: true of every image, categories of none."""

EXTRA_LEXICON = (
    "building block",
    "cell phone",
    "computer mouse",
    "conveyor belt",
    "hair drier",
    "jenga block",
    "lego block",
    "lego brick",
    "potted plant",
    "race car",
    "robot arm",
    "robot gripper",
    "robot hand",
    "robotic arm",
    "rubber duck",
    "soccer ball",
    "stop sign",
    "street sign",
    "tennis racket",
    "toy block",
    "toy car",
    "toy robot",
    "toy truck",
    "traffic cone",
    "trash can",
)
"""Names WordNet lacks, or that must win over their parts."""

VAGUE = (COLOURS - THINGS_TOO) | frozenset(
    _words(
        "big clean dark dirty good great high large light little long low new nice old other open "
        "small short tall thick thin tiny top young"
    )
)
"""They open no compound even where WordNet lists one ("young man", "black bear")."""
