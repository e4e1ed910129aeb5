"""What loads and generations took here, and so what the next ones may take."""

_KEEP = 0.7
"""Of what was known before; the rest is the latest measurement."""
_SWAP_MARGIN = 1.3
_SWAP_MARGIN_SECONDS = 0.2
"""Loads vary, and who plans on the mean misses every other bound."""


def _high_side(known: float, latest: float) -> float:
    """Slow news counts at once, good news by and by."""
    return max(latest, _KEEP * known + (1 - _KEEP) * latest)


class SwapPaces:
    """Seconds from one model to another, learnt from every swap, on the high side."""

    def __init__(self, guess_seconds: float) -> None:
        """``guess_seconds``: taken for a model that was never loaded."""
        self._guess_seconds = guess_seconds
        self._of_pair: dict[tuple[str | None, str], float] = {}
        self._of_model: dict[str, float] = {}

    def note(self, before: str | None, after: str, seconds: float) -> None:
        known = self._of_pair.get((before, after), seconds)
        self._of_pair[before, after] = _high_side(known, seconds)
        self._of_model[after] = seconds

    def seconds(self, before: str | None, after: str) -> float:
        """Of this pair; else of the last load of ``after`` from anywhere; else the guess."""
        measured = self._of_pair.get((before, after), self._of_model.get(after))
        if measured is None:
            return self._guess_seconds
        return measured * _SWAP_MARGIN + _SWAP_MARGIN_SECONDS


class RunPaces:
    """Seconds a generation takes, by its model, learnt from every one."""

    def __init__(self, tokens_per_second_guess: float) -> None:
        self._guess = 1 / tokens_per_second_guess
        self._seconds_per_token: dict[str, float] = {}

    def note(self, model: str, output_tokens: int, seconds: float) -> None:
        """Reading the prompt is in ``seconds``, so that long prompts make a model slower."""
        if output_tokens < 1:
            return
        latest = seconds / output_tokens
        known = self._seconds_per_token.get(model, latest)
        self._seconds_per_token[model] = _high_side(known, latest)

    def seconds(self, model: str, output_tokens_max: int, seconds_max: float) -> float:
        """Of a generation of at most so many tokens, which is cut off after ``seconds_max``."""
        per_token = self._seconds_per_token.get(model, self._guess)
        return min(seconds_max, output_tokens_max * per_token)
