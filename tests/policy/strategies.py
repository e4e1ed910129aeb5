"""Hypothesis strategies for situations and for rule sets no document of the repository holds."""

from hypothesis import strategies as st

from pointwork.contract.decision import GrantKind, Site
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier
from pointwork.contract.task import OUTPUT_TOKENS_MAX, DataClass, PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.catalogue import HostProfile, PricedModel
from tests.fakes.policy_facts import Failed, Granted, Situation, shipped

OMEGA = shipped()
CLASSES = tuple(OMEGA.pack.classes)
MODELS = tuple(OMEGA.models)
ENDPOINTS = tuple(sorted({each.model.endpoint for each in OMEGA.models.values()}))
MARKS = (*OMEGA.pack.local_marks, *OMEGA.pack.mark_routes, "urgent")
REGIONS = ("US", "CN", "EU")
INPUT_BYTES_MAX = 2**31


def _some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Mostly none of ``values``, now and then several."""
    return st.just(()) | st.lists(st.sampled_from(values), max_size=4, unique=True).map(tuple)


def _levels() -> st.SearchStrategy[Sensitivity | None]:
    return st.none() | st.sampled_from(list(Sensitivity))


def _data_classes() -> st.SearchStrategy[tuple[DataClass, ...]]:
    return st.just(()) | st.lists(st.sampled_from(list(DataClass)), max_size=3).map(tuple)


def failures() -> st.SearchStrategy[Failed]:
    kinds = st.none() | st.sampled_from(list(ProviderFailureKind))
    return st.builds(Failed, model=st.sampled_from((*MODELS, "retired-model")), kind=kinds)


def grants() -> st.SearchStrategy[Granted]:
    ceilings = st.integers(0, 3_000_000_000)
    return st.builds(Granted, kind=st.sampled_from(list(GrantKind)), ceiling=ceilings)


def situations() -> st.SearchStrategy[Situation]:
    """Any task in any state of the world, the absurd included."""
    threshold = OMEGA.pack.high_volume_items
    assert threshold is not None
    return st.builds(
        Situation,
        task_class=st.none() | st.sampled_from((*CLASSES, "no_such_class")),
        marks=_some(MARKS),
        items=st.just(1) | st.integers(threshold - 2, threshold + 2),
        sensitivity=_levels(),
        data_classes=_data_classes(),
        detected=_levels(),
        detected_data_classes=_data_classes(),
        conversation=_levels(),
        privacy_tier=st.just(PrivacyTier.ANY) | st.sampled_from(list(PrivacyTier)),
        residency=_some(REGIONS),
        requested_model=st.none() | st.sampled_from((*MODELS, "no-such-model")),
        justification=st.sampled_from(("", "  ", "The board decides on it.")),
        output_tokens=st.just(512) | st.integers(1, OUTPUT_TOKENS_MAX),
        input_bytes=st.integers(0, 4_000) | st.integers(0, INPUT_BYTES_MAX),
        image=st.booleans(),
        answer_schema=st.booleans(),
        without_keys=_some(ENDPOINTS),
        down=_some(ENDPOINTS),
        limited_seconds=st.dictionaries(
            st.sampled_from(ENDPOINTS), st.integers(-60, 60), max_size=2
        ),
        budget_left=st.none() | st.integers(0, 20_000_000) | st.integers(0, 20_000_000_000),
        failed=st.just(()) | st.lists(failures(), max_size=4).map(tuple),
        grants=st.just(()) | st.lists(grants(), max_size=3).map(tuple),
    )


def _tier() -> st.SearchStrategy[PriceTier]:
    price = st.integers(0, 30_000_000_000)
    return st.builds(
        PriceTier,
        from_input_tokens=st.just(0),
        input_per_mtok=price,
        output_per_mtok=price,
        cached_input_per_mtok=price,
        cache_write_per_mtok=price,
    )


@st.composite
def _priced_model(draw: st.DrawFn) -> PricedModel:
    base = OMEGA.models[draw(st.sampled_from(MODELS))]
    model = base.model.model_copy(
        update={
            "vendor": draw(st.sampled_from(("northwind", "contoso", "fabrikam"))),
            "family": draw(st.sampled_from(tuple(OMEGA.pack.families))),
            "quality": draw(st.integers(1, 3)),
            "is_frontier": draw(st.booleans()),
            "capabilities": draw(_some(("text", "vision", "json_schema"))),
        }
    )
    site = draw(st.sampled_from(list(Site)))
    tiers = draw(st.lists(_tier(), max_size=1).map(tuple))
    endpoint = base.endpoint.model_copy(update={"site": site})
    return base.model_copy(update={"model": model, "endpoint": endpoint, "tiers": tiers})


@st.composite
def bundles(draw: st.DrawFn) -> PolicyBundle:
    """The omega pack over a catalogue that no one would write."""
    names = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=6, unique=True))
    host = HostProfile(
        schema_version="pointwork/host/1",
        host="embedded",
        local_models=draw(_some(MODELS)),
    )
    models = {name: draw(_priced_model()) for name in sorted(names)}
    return PolicyBundle(pack=OMEGA.pack, models=models, host=host)
