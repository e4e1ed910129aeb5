"""Two real local models answer 20 fixed prompts, and their answers are compared as a task's are.

    python -m bench.compare [--show]

Each model answers every prompt at temperature 0 through the server and the adapter that serve local
tasks; the comparison is the one that ``parallel-verify`` makes, by the rule below. No workflow runs
and nobody is asked. One of the two models completes text and was not trained to answer, so every
prompt asks for an object of a schema; where that holds one member ``answer`` and the prompt is not
about JSON, the member is compared as the text it is. Weights are pulled once, 350 MB in all.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pointwork.contract.branches import Agreement, NumberTolerance, TextSimilarity
from pointwork.contract.prompt import Prompt
from pointwork.executors.comparing import Compared, compare, parse_json
from pointwork.local.lane import LocalLane
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.provider import LocalProvider
from pointwork.local.weights import pull
from pointwork.policy.documents.host import WaitBounds
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import CompletionRequest, CompletionResponse, ProviderError
from workers.settings import Settings

PROMPTS_FILE = Path(__file__).resolve().parent / "data" / "compare" / "prompts.jsonl"
MODELS = ("smollm2-135m", "gemma3-270m")
RULE = Agreement(
    numbers=NumberTolerance(relative=Decimal("0.01")),
    text=TextSimilarity(measure="word_subsequence", similarity_min=Decimal("0.8")),
)
CALL_TIMEOUT_SECONDS = 120.0
CALLS_MAX = 3
"""Of one prompt, where the server's stream breaks off."""
MEASURES = ("exact", "number", "json", "text")


@dataclass(frozen=True)
class Question:
    kind: str
    text: str
    max_output_tokens: int
    schema: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One prompt, the models' answers in their order, and how those compare."""

    question: Question
    answers: tuple[str, ...]
    compared: Compared


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    parser.add_argument("--show", action="store_true", help="print the answers too")
    given = parser.parse_args(arguments)
    rows = asyncio.run(measure(questions()))
    for row in rows:
        print(line_of(row))
        if given.show:
            for model, answer in zip(MODELS, row.answers, strict=True):
                print(f"    {model:14}{answer!r}")
    print(last_line(rows))
    return 0


def questions() -> list[Question]:
    with PROMPTS_FILE.open(encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines]
    return [
        Question(each["kind"], each["prompt"], each["max_output_tokens"], each["schema"])
        for each in read
    ]


async def measure(asked: Sequence[Question]) -> list[Row]:
    """Every answer of one model before the first of the next, so that models swap once."""
    store = Settings().state_dir / "models"
    weights = {name: pull(name, store, lambda progress: None) for name in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        api_key = secrets.token_urlsafe()
        runtime = LlamaCppRuntime(
            {name: LlamaModel(path=path, context_tokens=2048) for name, path in weights.items()},
            Path(folder),
            lease=DeviceLease(Path(folder) / "device.lock"),
            api_key=api_key,
        )

        def connect(base_url: str) -> OpenAIProvider:
            return OpenAIProvider("local-gpu", base_url, api_key, dialect=LLAMA_CPP)

        provider = LocalProvider(LocalLane(runtime), connect, MODELS, WaitBounds())
        try:
            answers = [[await answer(provider, name, each) for each in asked] for name in MODELS]
        finally:
            await provider.aclose()
            await runtime.aclose()
    return [
        Row(question, given, compare(given, RULE))
        for question, given in zip(asked, zip(*answers, strict=True), strict=True)
    ]


async def answer(provider: LocalProvider, model: str, question: Question) -> str:
    request = CompletionRequest(
        model=model,
        prompt=Prompt.from_text(f"Question: {question.text}\nAnswer:"),
        max_output_tokens=question.max_output_tokens,
        temperature=0.0,
        timeout_seconds=CALL_TIMEOUT_SECONDS,
        request_id=f"compare/{secrets.token_hex(4)}",
        seed=1,
        answer_schema=question.schema,
    )
    text = (await completed(provider, request)).text.strip()
    if question.kind == "json":
        return text
    value = parse_json(text)
    return str(value["answer"]) if isinstance(value, dict) else text


async def completed(provider: LocalProvider, request: CompletionRequest) -> CompletionResponse:
    for _ in range(CALLS_MAX - 1):
        try:
            return await provider.complete(request)
        except ProviderError as error:
            if not error.kind.is_transient:
                raise
    return await provider.complete(request)


def line_of(row: Row) -> str:
    measured = row.compared.measured
    value = "" if measured is None or measured.value is None else f" {measured.value}"
    stopped = f", {measured.stopped_by} differ" if measured and measured.stopped_by else ""
    verdict = "agreed" if row.compared.agree else "differ"
    return f"{verdict:8}{by(row):8}{value:10}{row.question.kind:9}{row.question.text}{stopped}"


def by(row: Row) -> str:
    """The measure that settled it; equal answers are equal by any."""
    measured = row.compared.measured
    if measured is None or (row.compared.agree and not measured.tolerated_count):
        return "exact"
    return {"word_subsequence": "text"}.get(measured.measure, measured.measure)


def last_line(rows: Sequence[Row]) -> str:
    """The four measures count what agreed by each."""
    agreed = Counter(by(row) for row in rows if row.compared.agree)
    counts = " ".join(f"{measure}={agreed[measure]}" for measure in MEASURES)
    return f"compared={len(rows)} agreed={agreed.total()} {counts}"


if __name__ == "__main__":
    sys.exit(main())
