"""Words the noun extraction must know about; every list is short enough to be read."""

from __future__ import annotations

from functools import cache

from ovseg_ros.folders import read_words


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

THINGS_TOO = frozenset(
    _words(
        "charcoal coral cream emerald lavender lime mustard olive orange peach plum rose ruby "
        "salmon sapphire violet"
    )
)
"""Colours that are also things: kept in the plural and at the end of "an ..."."""

STOP_WORDS = _words(
    "area back background base bit body bottom bunch center centre class close close-up closeup "
    "collection color colour corner couple day distance edge end foreground front group half hand "
    "image item kind left length line lot middle number object one pair part photo photograph "
    "picture piece pile place point position rest right row scene series set shape side size "
    "something sort space spot stack style surface thing time top type variety view way"
)
"""Nouns of place, measure and picture: true of every image, categories of none."""

EXTRA_LEXICON = _words(
    "airpod arduino ax backsplash barista barstool biker blogger boba bodyboarder bralette "
    "canoer cd chromebook churro cobot cooktop croc dashcam dehumidifier e-bike e-cigarette "
    "e-scooter earbud emoji emoticon fitbit fryer gamepad gamer gelato goldendoodle gopro "
    "gripper hoodie hoverboard humidifier influencer ipad iphone kayaker kettlebell "
    "kimchi kindle kitesurf kitesurfer koi labradoodle lawnmower leatherman lidar longboard "
    "macaron macbook microcontroller multimeter nacho nightstand o-ring onesie ox paddleboard "
    "paddleboarder paraglider parasailer pho pitbull playstation quadcopter quinoa ramen "
    "rollercoaster scrunchie selfie sharpener shawarma skatepark smartphone smartwatch "
    "snorkeler stovetop stuntman superglue touchpad touchscreen trackpad tracksuit tuk-tuk "
    "tupperware tv ukulele usb vape vlogger wakeboarder weedwhacker whiteboard wii windsurfer "
    "xbox zipline ziploc"
)
"""Single words that WordNet lacks."""


@cache
def everyday_compounds() -> frozenset[str]:
    """Return what captions say for one thing, and WordNet does not ("hole punch"), singular."""
    return read_words("compounds.txt")


NO_SINGULAR = frozenset(
    _words(
        "barracks bellows binoculars bloomers boxers breeches briefs calipers capris chinos "
        "clothes corduroys crossroads data dungarees earphones eyeglasses fatigues forceps "
        "fries gallows glasses goggles graffiti handcuffs headphones headquarters jeans "
        "jeggings jodhpurs khakis knickers leftovers leggings media overalls pajamas pants "
        "pliers pyjamas scissors shears shorts slacks snips spectacles stairs sunglasses "
        "suspenders sweatpants tights tongs trousers tweezers underpants waders"
    )
)
"""Plurals that are the name of one thing."""

COUNTED = frozenset(_words("fries glasses leftovers stairs"))
"""Those of them that are several things where somebody counts them ("two glasses")."""

PARTICIPLES = frozenset(
    _words(
        "barking bending boating boiling brushing carrying chasing cleaning climbing cooking "
        "crossing cutting dancing diving drinking driving eating facing falling feeding fighting "
        "fishing floating flying following going grazing hanging having hitting holding hugging "
        "jogging jumping kicking kissing kneeling laying leaning leaving lifting looking lying "
        "making mowing moving opening performing petting picking playing pointing posing pouring "
        "preparing pulling pushing putting racing reaching reading repairing resting riding "
        "rolling rowing running sailing serving sewing shopping showing sitting skateboarding "
        "skating skiing sleeping sliding smiling smoking snowboarding soldering spinning "
        "splashing standing sticking surfing swimming swinging taking talking throwing touching "
        "traveling trying turning typing using vacuuming waiting walking washing watching "
        "watering waving wearing welding working writing"
    )
)
"""What things do in captions: the tagger takes some of it for nouns."""

VAGUE = (COLOURS - THINGS_TOO) | frozenset(
    _words(
        "big clean dark dirty good great large little long low new nice old other open "
        "small short tall thick thin tiny top young"
    )
)
"""They open no compound even where WordNet lists one ("young man", "black bear")."""
