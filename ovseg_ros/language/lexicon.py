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
    "ax",
    "backsplash",
    "barista",
    "barstool",
    "biker",
    "building block",
    "cable tie",
    "cd",
    "cell phone",
    "charging cable",
    "computer mouse",
    "conveyor belt",
    "cooktop",
    "cordless drill",
    "e-scooter",
    "earbud",
    "egg carton",
    "electric scooter",
    "flip flop",
    "foosball table",
    "fryer",
    "gamepad",
    "garbage can",
    "glue gun",
    "gripper",
    "hair drier",
    "heat gun",
    "hex key",
    "hiking boot",
    "hoodie",
    "hot air balloon",
    "hoverboard",
    "jenga block",
    "kitesurfer",
    "lawnmower",
    "lego block",
    "lego brick",
    "life vest",
    "light switch",
    "longboard",
    "lunch box",
    "milk carton",
    "mouse pad",
    "nightstand",
    "onesie",
    "ox",
    "paper towel",
    "paraglider",
    "pencil sharpener",
    "phone case",
    "picnic table",
    "ping pong table",
    "potted plant",
    "power bank",
    "power outlet",
    "power strip",
    "quadcopter",
    "race car",
    "robot arm",
    "robot gripper",
    "robot hand",
    "robot vacuum",
    "robotic arm",
    "rubber duck",
    "safety vest",
    "selfie stick",
    "sharpener",
    "skatepark",
    "smartphone",
    "smartwatch",
    "soccer ball",
    "stop sign",
    "stovetop",
    "street sign",
    "stuffed animal",
    "tank top",
    "tape dispenser",
    "tennis racket",
    "touchpad",
    "touchscreen",
    "toy block",
    "toy car",
    "toy robot",
    "toy truck",
    "trackpad",
    "traffic cone",
    "trash bag",
    "trash can",
    "tv",
    "usb cable",
    "usb stick",
    "whiteboard",
    "windsurfer",
    "wine glass",
    "wine rack",
    "zip tie",
)
"""Names WordNet lacks, or that must win over their parts."""

NO_SINGULAR = frozenset(
    _words(
        "binoculars bloomers breeches briefs clothes corduroys data dungarees earphones "
        "eyeglasses fatigues fries glasses goggles graffiti handcuffs headphones jeans jodhpurs "
        "khakis leftovers leggings media overalls pajamas pants pliers pyjamas scissors shears "
        "shorts slacks snips spectacles stairs sunglasses tights tongs trousers tweezers"
    )
)
"""Plurals that are the name of one thing, unless somebody counts them ("two glasses")."""

VAGUE = (COLOURS - THINGS_TOO) | frozenset(
    _words(
        "big clean dark dirty good great large little long low new nice old other open "
        "small short tall thick thin tiny top young"
    )
)
"""They open no compound even where WordNet lists one ("young man", "black bear")."""
