"""Answers of three vendors made up from a seed: equal, near, apart and contradictory ones."""

import json
from collections.abc import Callable
from random import Random

VENDORS = ("openai", "anthropic", "google")
PROSE = "the river runs past a mill and its wheel turns in cold water while birds sing"
_TURNS = ("not ", "never ", "15 ", "50 ", "no ")


def three_answers(random: Random) -> list[str]:
    """One to three vendors answer; each takes the first answer as it is or changes it a little."""
    make = random.choice((_number, _object, _prose, _word))
    first = make(random)
    answers = [first, *(_changed(random, make, first) for _ in range(2))]
    random.shuffle(answers)
    return answers[: random.choice((1, 2, 3, 3, 3, 3))]


def _changed(random: Random, make: Callable[[Random], str], first: str) -> str:
    match random.randrange(5):
        case 0 | 1:
            return first
        case 2:
            return f" {first}\n"
        case 3 if make is _prose:
            at = random.randrange(len(first))
            return first[:at] + random.choice(_TURNS) + first[at:]
        case 3 if make is _number:
            return f"{float(first.split()[0]) * random.choice((1.001, 1.5)):.3f} mg"
        case _:
            return make(random)


def _number(random: Random) -> str:
    return f"{random.choice((15, 15.1, 50))} mg"


def _object(random: Random) -> str:
    return json.dumps({"dose": random.choice((100, 100.5, 150)), "go": random.random() < 0.8})


def _prose(random: Random) -> str:
    words = PROSE.split()
    words[random.randrange(len(words))] = random.choice(("old", "new", "mill"))
    return " ".join(words)


def _word(random: Random) -> str:
    return random.choice(("Yes.", "No.", "yes", "Maybe."))
