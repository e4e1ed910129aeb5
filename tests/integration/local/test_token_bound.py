"""No text has more tokens than its bound, on a real byte-level tokenizer (reliability case 12)."""

import base64
import http.client
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from activities.classify import ClassifyActivities
from pointwork.contract.prompt import AnswerSchema, Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import Complexity, ContentRef, DataClass, Sensitivity, TaskRequest
from pointwork.local.llama_cpp import LlamaCppRuntime
from tests.fakes.fixed_inference import FixedInference
from tests.integration.ledger.records import NOW
from tests.integration.local.conftest import MODEL

TEXTS = 10_000
SCRIPTS = {
    "latin": "abcdefghijklmnopqrstuvwxyzäöüßéèñçøåžšł",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяїєґ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "devanagari": "अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधनपफबभम्ािी",
    "thai": "กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮะาิีุู",
    "han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "kana": "あいうえおかきくけこさしすせそアイウエオカキクケコサシスセソー",
    "hangul": "가나다라마바사아자차카타파하각난닫랄맘밥삿앙잦찿캌탙팦핳",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "ethiopic": "ሀሁሂሃሄህሆለሉሊላሌልሎሐሑሒሓሔሕሖመሙሚማሜምሞ",
}
EMOJI = "😀👩‍👩‍👧‍👦🏳️‍🌈👍🏿🇳🇴🧬🫠⛄️𝕏𓂀"
CODE = Path(__file__).read_text(encoding="utf-8")


def words(random_: random.Random, letters: str) -> str:
    lengths = (random_.randint(1, 9) for _ in range(random_.randint(1, 12)))
    return " ".join("".join(random_.choices(letters, k=length)) for length in lengths)


def code(random_: random.Random) -> str:
    start = random_.randrange(len(CODE) - 200)
    return CODE[start : start + random_.randint(1, 200)]


def base64_text(random_: random.Random) -> str:
    return base64.b64encode(random_.randbytes(random_.randint(1, 120))).decode()


def any_characters(random_: random.Random) -> str:
    """Code points of every plane but the surrogates, which are no characters."""
    points = (random_.randrange(0x20, 0x110000) for _ in range(random_.randint(1, 60)))
    return "".join(chr(each) for each in points if not 0xD800 <= each < 0xE000)


def texts(count: int) -> Iterator[str]:
    random_ = random.Random(20261121)
    kinds: list[Callable[[], str]] = [
        *(lambda letters=letters: words(random_, letters) for letters in SCRIPTS.values()),
        lambda: code(random_),
        lambda: base64_text(random_),
        lambda: "".join(random_.choices(EMOJI, k=random_.randint(1, 40))),
        lambda: any_characters(random_),
    ]
    for number in range(count):
        yield kinds[number % len(kinds)]()


class Tokenizer:
    """The loaded model's own tokenizer and chat template, over one connection."""

    def __init__(self, base_url: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", urlsplit(base_url).port)

    def _ask(self, path: str, body: object) -> dict[str, object]:
        sent = json.dumps(body).encode()
        self._connection.request("POST", path, sent, {"content-type": "application/json"})
        answered: dict[str, object] = json.loads(self._connection.getresponse().read())
        return answered

    def count(self, text: str, *, parse_special: bool = False) -> int:
        body = {"content": text, "add_special": True, "parse_special": parse_special}
        tokens = self._ask("/tokenize", body)["tokens"]
        assert isinstance(tokens, list)
        return len(tokens)

    def close(self) -> None:
        self._connection.close()


def in_template(prompt: Prompt) -> str:
    """As the model's own template writes it, which adds a system turn where there is none."""
    turns = [("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face")]
    turns += [(turn.speaker.value, turn.text) for turn in prompt.turns]
    said = (f"<|im_start|>{speaker}\n{text}<|im_end|>\n" for speaker, text in turns)
    return "".join(said) + "<|im_start|>assistant\n"


class OnePrompt:
    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def prompt(self, task_id: str, ref: ContentRef) -> Prompt:
        return self._prompt

    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema:
        raise AssertionError


class Nothing:
    """Finds nothing, knows nothing and marks nothing: only the bound is asked for here."""

    sensitivity: Sensitivity | None = None
    data_classes: tuple[DataClass, ...] = ()
    counts = ()
    detectors = ()

    def scan(self, text: str) -> "Nothing":
        return self

    def class_of(self, pack: str, task_type: str) -> str | None:
        return None

    def reads_complexity(self, pack: str) -> bool:
        return False

    def estimate(self, prompt: Prompt) -> Complexity:
        raise AssertionError

    def marks(self, pack: str, text: str) -> tuple[str, ...]:
        return ()


def bound(prompt: Prompt) -> int:
    """What every estimate of the prompt is made from."""
    nothing = Nothing()
    activities = ClassifyActivities(
        OnePrompt(prompt), nothing, FixedInference(), nothing, nothing, nothing
    )
    ref = ContentRef(digest="c" * 64, bytes=1, media_type="text/plain")
    request = TaskRequest(
        task_id="t-1", caller="tester", task_class="bulk", content=ref, submitted_at=NOW
    )
    return activities.classify(request).input_tokens_max


@pytest.fixture
async def tokenizer(runtime: LlamaCppRuntime) -> Tokenizer:
    return Tokenizer(await runtime.ensure_loaded(MODEL))


def test_no_text_has_more_tokens_than_bytes(tokenizer: Tokenizer) -> None:
    above = [text for text in texts(TEXTS) if tokenizer.count(text) > max(1, len(text.encode()))]
    tokenizer.close()
    assert above == []


def test_a_prompt_in_a_chat_template_stays_within_the_bound(tokenizer: Tokenizer) -> None:
    """Short turns are the hard case: there the template's markers outweigh the text."""
    random_ = random.Random(7)
    for _ in range(500):
        short = random_.choices([*EMOJI, "a", "的", "?", "12"], k=random_.randint(1, 8))
        speakers = itertools.cycle((Speaker.USER, Speaker.ASSISTANT))
        turns = tuple(
            Turn(speaker=speaker, parts=(TextPart(text=text),))
            for text, speaker in zip(short, speakers, strict=False)
        )
        prompt = Prompt(turns=turns)
        assert tokenizer.count(in_template(prompt), parse_special=True) <= bound(prompt)
    tokenizer.close()
