"""How many persons' names are replaced before a text leaves, in five scripts (row 55).

    python -m bench.names

Two hundred names a script, drawn from the ``faker`` library's lists of some of its locales, each in
a sentence of that language. The tier that reads for names holds the same lists, so the figure is
optimistic: the last set is of names none of whose words is on them, out of ``pii_synth_v2.json``
(see ``bench/privacy.py``), in that set's own English sentences. A name counts as replaced when
every letter of it is; half a name is none. Beside each share stands Wilson's 95 % interval.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from faker import Faker

from bench.data_folder import data_folder
from bench.privacy import DATA_FILE, interval
from pointwork.privacy.detect import scan
from pointwork.privacy.language.gazetteer import gazetteer
from pointwork.privacy.language.reader import LanguageReader

NAMES = 200
SEED = 55
_WORD = re.compile(r"[^\W\d_]+")

Find = Callable[[str], list[tuple[int, int]]]


@dataclass(frozen=True)
class Named:
    """A text and where a name stands in it."""

    text: str
    start: int
    end: int


SCRIPTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Latin": {
        "en_US": ("Please ask {} about the contract.", "I met {} at the station yesterday."),
        "de_DE": ("Bitte frag {} nach dem Vertrag.", "Gestern traf ich {} am Bahnhof."),
        "fr_FR": ("Demandez à {} ce qu'il en est du contrat.", "Hier, j'ai vu {} à la gare."),
        "pl_PL": ("Proszę zapytać, co sądzi {} o umowie.", "Wczoraj na dworcu była tam {}."),
    },
    "Cyrillic": {
        "ru_RU": ("Пожалуйста, спросите, что думает {} о договоре.", "Вчера пришёл {} с ответом."),
        "uk_UA": ("Будь ласка, запитайте, що думає {} про договір.", "Учора прийшла {} з листом."),
        "bg_BG": ("Моля, попитайте какво мисли {} за договора.", "Вчера дойде {} с отговора."),
    },
    "Greek": {
        "el_GR": ("Παρακαλώ ρωτήστε τι λέει {} για το συμβόλαιο.", "Χθες ήρθε {} στον σταθμό."),
    },
    "Arabic": {
        "ar_SA": ("من فضلك اسأل {} عن العقد.", "قابلت {} أمس في المحطة."),
        "ar_EG": ("من فضلك اسأل {} عن العقد.", "قابلت {} أمس في المحطة."),
    },
    "Han": {
        "zh_CN": ("请问一下{}对合同的看法。", "昨天我在车站见到了{}。"),
        "zh_TW": ("請問一下{}對合約的看法。", "昨天我在車站見到了{}。"),
        "ja_JP": ("契約について{}さんに聞いてください。", "昨日、駅で{}さんに会いました。"),
    },
}


def of_script(script: str) -> Iterator[Named]:
    """Without end: the locales in turn, their sentences in turn."""
    fakers = {locale: Faker(locale) for locale in SCRIPTS[script]}
    for number, faker in enumerate(fakers.values()):
        faker.seed_instance(SEED + number)
    turn = 0
    while True:
        for locale, sentences in SCRIPTS[script].items():
            name = f"{fakers[locale].first_name()} {fakers[locale].last_name()}"
            if script == "Han":
                name = f"{fakers[locale].last_name()}{fakers[locale].first_name()}"
            before, after = sentences[turn % len(sentences)].split("{}")
            yield Named(f"{before}{name}{after}", len(before), len(before) + len(name))
        turn += 1


def of_no_list(sentences: Sequence[dict[str, Any]]) -> Iterator[Named]:
    """Names none of whose words is on a list that the reader holds."""
    names = gazetteer()
    for sentence in sentences:
        for span in sentence["spans"]:
            words = _WORD.findall(span["entity_value"])
            if span["entity_type"] == "PERSON" and words and not any(map(names.is_name, words)):
                yield Named(sentence["full_text"], span["start_position"], span["end_position"])


def is_replaced(named: Named, find: Find) -> bool:
    masked = {at for start, end in find(named.text) for at in range(start, end)}
    places = range(named.start, named.end)
    return all(at in masked for at in places if named.text[at].isalnum())


def report(what: str, found: Sequence[Named], find: Find) -> float:
    hits = sum(is_replaced(each, find) for each in found)
    low, high = interval(hits, len(found))
    print(f"{what:22} {hits:4} of {len(found):4}  {hits / len(found):.3f}  {low:.3f} to {high:.3f}")
    return hits / len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help=f"folder that holds {DATA_FILE}")
    path = (parser.parse_args().data or data_folder()) / DATA_FILE
    reader = LanguageReader()

    def find(text: str) -> list[tuple[int, int]]:
        found = [*scan(text).findings, *reader.read(text)]
        return [(each.start, each.end) for each in found]

    shares = {
        script: report(script, list(islice(of_script(script), NAMES)), find) for script in SCRIPTS
    }
    if path.is_file():
        sentences = json.loads(path.read_text("utf-8"))
        random.Random(SEED).shuffle(sentences)
        unlisted = list(islice(of_no_list(sentences), NAMES))
        shares["unlisted"] = report("on no list (English)", unlisted, find)
    else:
        print(f"no {DATA_FILE} in {path.parent}, so no names that are on no list; --data names it")
    print(" ".join(f"{script.lower()}={share:.3f}" for script, share in shares.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
