"""What loads and generations took here, and so what the next ones may take."""

from dataclasses import dataclass

_GAIN = 0.25
"""The weight of the latest measurement, in the mean and in the deviation from it."""
_FIRST_DEVIATION = 0.25
"""Of the first measurement, as long as it is the only one."""
_DEVIATIONS = 4.0
"""Above the mean, for a swap: who plans on the mean misses every other bound."""
_DEVIATION_MIN = 0.1
"""The least share of the mean that is taken for its deviation."""
_KEEP = 0.7
"""Of what was known of a generation before; the rest is the latest one."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """A running mean and deviation, as TCP keeps them of a round trip (RFC 6298)."""

    mean_seconds: float
    deviation_seconds: float

    @classmethod
    def first(cls, seconds: float) -> "_Pace":
        return cls(seconds, seconds * _FIRST_DEVIATION)

    def then(self, seconds: float) -> "_Pace":
        off = seconds - self.mean_seconds
        return _Pace(
            self.mean_seconds + _GAIN * off,
            self.deviation_seconds + _GAIN * (abs(off) - self.deviation_seconds),
        )

    @property
    def high_side_seconds(self) -> float:
        least = _DEVIATION_MIN * self.mean_seconds
        return self.mean_seconds + _DEVIATIONS * max(least, self.deviation_seconds)


class SwapPaces:
    """Seconds from one model to another, learnt from every swap, on the high side."""

    def __init__(self, guess_seconds: float) -> None:
        """``guess_seconds``: taken for a model that was never loaded."""
        self._guess_seconds = guess_seconds
        self._of_pair: dict[tuple[str | None, str], _Pace] = {}
        self._of_model: dict[str, _Pace] = {}

    def note(self, before: str | None, after: str, seconds: float) -> None:
        if before == after:
            return  # It was there already, which says nothing of a load.
        known = self._of_pair.get((before, after))
        self._of_pair[before, after] = known.then(seconds) if known else _Pace.first(seconds)
        self._of_model[after] = _Pace.first(seconds)

    def seconds(self, before: str | None, after: str) -> float:
        """Of this pair; else of the last load of ``after`` from anywhere; else the guess."""
        known = self._of_pair.get((before, after), self._of_model.get(after))
        return known.high_side_seconds if known else self._guess_seconds


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
        # Slow news counts at once, good news by and by.
        self._seconds_per_token[model] = max(latest, _KEEP * known + (1 - _KEEP) * latest)

    def seconds(self, model: str, output_tokens_max: int, seconds_max: float) -> float:
        """Of a generation of at most so many tokens, which is cut off after ``seconds_max``."""
        per_token = self._seconds_per_token.get(model, self._guess)
        return min(seconds_max, output_tokens_max * per_token)
