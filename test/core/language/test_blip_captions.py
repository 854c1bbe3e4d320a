"""Captions as BLIP writes them, and the names a person reads off them."""

from __future__ import annotations

import pytest

from ovseg_ros.language.lexicon import everyday_compounds
from ovseg_ros.language.nouns import NounConfig, nouns

CAPTIONS = """
two oxen pulling a cart down a dirt road: ox, cart, dirt road
a pair of oxen that are standing in a field: ox, field
a hole punch sitting on top of a desk: hole punch, desk
there are two hole punches next to a stapler: hole punch, stapler
a paper plane flying over a table: paper plane, table
there is a paper airplane on the floor: paper airplane, floor
a welder working on a metal fence: welder, metal, fence
there is a fisher standing on a pier: fisher, pier
a close up of a smith holding a hammer: smith, hammer
a white convertible parked in front of a house: convertible, house
a convertible sitting in a parking lot: convertible, parking lot
a mobile hanging above a crib: mobile, crib
a gray sectional in a living room: sectional, living room
a ceramic sitting on a shelf: ceramic, shelf
a black ottoman sitting on a rug: ottoman, rug
there is a well in the middle of a courtyard: well, courtyard
a saw sitting on top of a wooden board: saw, board
a close up of a comic next to a cup: comic, cup
a close up of an inverter next to a cable: inverter, cable
there are many moose next to a river: moose, river
a large moose standing in a river: moose, river
a bowl of salmon on a counter: salmon, bowl, counter
a shade of salmon: shade
a red husky and a brown chihuahua laying on a bed: husky, chihuahua, bed
the ostrich is standing next to a fence: ostrich, fence
a raven sitting on a branch: raven, branch
a cage full of canaries: cage, canary
canaries in a cage: canary, cage
fungi on a log: fungus, log
a man wearing a lei around his neck: man, lei, neck
a can of cola on a table: can, cola, table
a bellows next to a fireplace: bellows, fireplace
two scissors and three pants on a bed: scissors, pants, bed
two glasses on a tray: glass, tray
a pile of bedding on the floor: bedding, floor
a man walking up the stairs with a walking stick: man, stairs, walking stick
a deck of playing cards on a table: deck, playing card, table
a rose bush in front of a brick wall: rosebush, brick wall
an olive tree and a peach tree: olive tree, peach tree
a wet and muddy dog on a flat and empty road: dog, road
a lit up christmas tree in a room: christmas tree, room
a cold and snowy day: 
a metal hanging lamp above a table: metal, lamp, table
the old and the young: 
a man and a woman standing on a platform: man, woman, platform
there is a roundabout in the middle of the street: roundabout, street
a kid riding a sled down a hill: kid, sled, hill
children playing on a swing set: child, swing set
a pair of ski goggles on a table: ski goggles, table
a hand sanitizer next to a box of tissues: hand sanitizer, box, tissue
a leaf blower and a lawn mower in a garage: leaf blower, lawnmower, garage
a yoga mat rolled up on the floor: yoga mat, floor
a phone charger plugged into a wall outlet: phone charger, wall, outlet
a cat sitting in a litter box: cat, litter box
a dog laying on a dog bed: dog, dog bed
a bike rack with several bikes: bike rack, bike
a rice cooker and an air fryer on a counter: rice cooker, air fryer, counter
an orange traffic cone and a stop sign: traffic cone, stop sign
a ceiling fan with three lights: ceiling fan, light
a man using a drill to make a hole in a wall: man, drill, hole, wall
a woman cutting a cake with a knife: woman, cake, knife
a person holding a game controller in front of a tv: person, game controller, tv
a robot dog walking on a sidewalk: robot dog, sidewalk
a pallet jack in a warehouse: pallet jack, warehouse
a stack of storage bins against a wall: storage bin, wall
a set of allen keys and a socket wrench: allen key, socket wrench
three lobsters and a dozen oysters on ice: lobster, oyster, ice
two hamsters in a hamster cage: hamster, cage
a rooster and some geese in a barnyard: rooster, goose, barnyard
a canister next to a dumpster: canister, dumpster
a holster on a belt: holster, belt
a poster of a gangster on a wall: poster, gangster, wall
firemen and policemen standing by a fire engine: fireman, policeman, fire engine
loaves of bread on shelves: loaf, bread, shelf
calves and sheep grazing on a meadow: calf, sheep, meadow
mice, lice and wolves: mouse, louse, wolf
teeth and feet of a crocodile: tooth, foot, crocodile
snowmen with scarves and mittens: snowman, scarf, mitten
cacti in small pots: cactus, pot
aircraft on a runway: aircraft, runway
some furniture, luggage and clothing: furniture, luggage, clothing
gravel, sand and dirt in a wheelbarrow: gravel, sand, dirt, wheelbarrow
jewelry in a jewelry box: jewelry, jewelry box
silverware and glassware on a tablecloth: silverware, glassware, tablecloth
scaffolding around a building: scaffolding, building
a radiator below a window: radiator, window
a projector and a modem on a cabinet: projector, modem, cabinet
a cutter, a roller and a dimmer on a workbench: cutter, roller, dimmer, workbench
a lighter and a cooler on the grass: lighter, cooler, grass
a recliner in the corner of a room: recliner, room
a trailer behind a tractor: trailer, tractor
a grater and a strainer in a sink: grater, strainer, sink
a surfer, a skier and a boxer: surfer, skier, boxer
a bartender pouring a cocktail in a bar: bartender, cocktail, bar
the conductor of a train on a platform: conductor, train, platform
a toddler with a pacifier: toddler, pacifier
a router and a switch in a server rack: router, switch, server rack
a thermos next to a lunch box: thermos, lunch box
an iron on an ironing board: iron, ironing board
a plane, a file and a rasp on a bench: plane, file, rasp, bench
a ruler, a compass and a protractor: ruler, compass, protractor
a mop and a broom leaning against a wall: mop, broom, wall
"""
ROWS = [
    (caption.strip(), {name.strip() for name in names.split(",") if name.strip()})
    for line in CAPTIONS.strip().splitlines()
    for caption, _, names in [line.rpartition(":")]
]


@pytest.mark.parametrize(("caption", "expected"), ROWS)
def test_the_names_of_a_caption(caption: str, expected: set[str]) -> None:
    assert nouns(caption, NounConfig()) == expected


def test_everyday_compounds_are_whole() -> None:
    found = everyday_compounds()
    assert len(found) > 300
    for name in found:
        assert name == " ".join(name.lower().split()), name
        assert " " in name, name
        assert name in nouns(f"there is a {name} on the table", NounConfig()), name


def test_everyday_compounds_have_plurals() -> None:
    for caption, name in (
        ("two sticky notes", "sticky note"),
        ("several pizza boxes", "pizza box"),
        ("rows of shot glasses and game consoles", "game console"),
        ("many tool belts on hooks", "tool belt"),
        ("a lot of paper plates", "paper plate"),
    ):
        assert name in nouns(caption, NounConfig()), caption
