"""The models of a bundle as a decision reads them: plain values, worked out once for a bundle."""

from dataclasses import dataclass
from typing import Any

from pointwork.contract.decision import Candidate, Lane, Site
from pointwork.contract.money import TOKENS_PER_MTOK
from pointwork.policy.documents.catalogue import HostProfile, PricedModel
from pointwork.policy.documents.pack import Pack


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One model of one pack: what filters compare and orderings sort by."""

    name: str
    vendor: str
    endpoint: str
    family: str
    lane: Lane
    lane_rank: int
    site: Site
    is_local: bool
    on_host: bool
    """False for a model of the house that this host does not serve."""
    place: int
    """Position in the family's own list, or in the host's for local models."""
    quality: int
    is_frontier: bool
    is_expensive: bool
    is_personal: bool
    is_retired: bool
    capabilities: frozenset[str]
    context_tokens: int
    output_tokens_max: int
    has_price: bool
    input_price: int
    """Dearest input price in nano-USD a million tokens."""
    output_price: int
    approved: bool
    priced: PricedModel
    template: Candidate
    """Its candidates but for what each decision fills in."""

    def estimate(self, input_tokens: int, output_tokens_asked: int) -> int:
        """Worst case in nano-USD, as ``worst_case_nano_usd`` gives it for the same prices."""
        output = min(output_tokens_asked, self.output_tokens_max)
        return -(-(input_tokens * self.input_price + output * self.output_price) // TOKENS_PER_MTOK)

    def candidate(self, **decided: Any) -> Candidate:
        """What ``template.model_copy(update=decided)`` gives, in a third of the time.

        A decision makes one for every model it permits, and nothing of it is validated again that
        was validated when the documents were read.
        """
        made, fill = Candidate.__new__(Candidate), object.__setattr__
        fill(made, "__dict__", self.template.__dict__ | decided)
        fill(made, "__pydantic_fields_set__", self.template.model_fields_set)
        fill(made, "__pydantic_extra__", None)
        fill(made, "__pydantic_private__", None)
        return made


@dataclass(frozen=True, slots=True, eq=False)
class PackIndex:
    """Every entry of the pack, sorted by name, and those that one filter alone looks at."""

    entries: tuple[Entry, ...]
    outside: tuple[Entry, ...]
    """Those that are not in the house."""
    unserved: tuple[Entry, ...]
    """Those of the house that this host does not serve."""
    retired: tuple[Entry, ...]
    frontier: tuple[Entry, ...]
    personal: tuple[Entry, ...]
    unpriced: tuple[Entry, ...]
    needing_room: tuple[Entry, ...]
    """Those that want room on the host before they are tried."""
    costs: tuple[tuple[str, int, int, int], ...]
    """Name, input price, output price and longest answer of every priced model."""
    context_tokens_min: int
    by_name: dict[str, Entry]
    by_family: dict[str, tuple[Entry, ...]]
    endpoints: frozenset[str]
    hosted_endpoints: frozenset[str]


def families_of_models(
    pack: Pack, models: dict[str, PricedModel], host: HostProfile
) -> dict[str, tuple[str, int]]:
    """Family and place of every model the pack takes from the catalogue."""
    found: dict[str, tuple[str, int]] = {}
    for name, family in pack.families.items():
        if family.models:
            listed = [model for model in family.models if model in models]
        elif family.from_host:
            listed = [model for model in host.local_models if model in models]
            # One the catalogue puts here and this host lacks is refused by name, not passed over.
            listed += sorted(
                each
                for each, priced in models.items()
                if priced.model.family == name and each not in listed
            )
        else:
            listed = [each for each, priced in models.items() if priced.model.family == name]
            listed.sort(key=lambda each: (_place(host, each), each))
        for place, model in enumerate(listed):
            at = place if family.models or family.from_host else _place(host, model)
            found.setdefault(model, (name, at))
    return found


def _place(host: HostProfile, model: str) -> int:
    return host.local_models.index(model) if model in host.local_models else 0


def build_index(pack: Pack, models: dict[str, PricedModel], host: HostProfile) -> PackIndex:
    """Work out every entry once; a decision then only compares."""
    homes = families_of_models(pack, models, host)
    served = frozenset(host.served)
    entries = tuple(
        _entry(pack, name, models[name], *homes[name], served=served)
        for name in sorted(homes.keys() & models.keys())
    )
    by_family: dict[str, tuple[Entry, ...]] = {name: () for name in pack.families}
    for each in sorted(entries, key=lambda entry: (entry.place, entry.name)):
        by_family[each.family] = (*by_family[each.family], each)
    return PackIndex(
        entries=entries,
        outside=tuple(each for each in entries if not each.is_local),
        unserved=tuple(each for each in entries if not each.on_host),
        retired=tuple(each for each in entries if each.is_retired),
        frontier=tuple(each for each in entries if each.is_frontier),
        personal=tuple(each for each in entries if each.is_personal),
        unpriced=tuple(each for each in entries if not each.has_price),
        needing_room=tuple(e for e in entries if e.priced.model.host_needs is not None),
        costs=tuple(
            (each.name, each.input_price, each.output_price, each.output_tokens_max)
            for each in entries
            if each.has_price
        ),
        context_tokens_min=min((each.context_tokens for each in entries), default=0),
        by_name={each.name: each for each in entries},
        by_family=by_family,
        endpoints=frozenset(each.endpoint for each in entries),
        hosted_endpoints=frozenset(each.endpoint for each in entries if not each.is_local),
    )


def _template(fixed: dict[str, Any]) -> Candidate:
    """Every field in its own order, those that a decision fills in with what they hold without."""
    fields = Candidate.model_fields
    values = {name: fixed.get(name, field.get_default()) for name, field in fields.items()}
    return Candidate.model_construct(set(fields), **values)


def _entry(
    pack: Pack, name: str, priced: PricedModel, family: str, place: int, *, served: frozenset[str]
) -> Entry:
    model, endpoint, rule = priced.model, priced.endpoint, pack.families[family]
    tiers = priced.tiers
    # Where the pack lists a family's models itself, the lane it gives the family is theirs.
    lane = rule.lane if rule.models or rule.from_host else model.lane
    approved = endpoint.site is Site.PRIVATE and name in pack.privacy.approved
    fixed: dict[str, Any] = {
        "model": name,
        "served_as": model.served_as,
        "vendor": model.vendor,
        "endpoint": model.endpoint,
        "family": family,
        "lane": lane,
        "site": endpoint.site,
        "cost_class": rule.cost_class,
        "task_queue": endpoint.task_queue,
        "timeout_seconds": model.timeout_seconds,
        "prices": tiers,
        "price_version": priced.price_version,
        "substitution": model.substitution or "",
        "kind": model.kind,
        "effort": model.effort,
    }
    return Entry(
        name=name,
        vendor=model.vendor,
        endpoint=model.endpoint,
        family=family,
        lane=lane,
        lane_rank=lane.rank,
        site=endpoint.site,
        is_local=endpoint.site is Site.LOCAL,
        on_host=endpoint.adapter != "local" or name in served,
        place=place,
        quality=model.quality,
        is_frontier=model.is_frontier,
        is_expensive=model.is_expensive,
        is_personal=model.personal,
        is_retired=model.retired_on is not None,
        capabilities=frozenset(model.capabilities),
        context_tokens=model.context_tokens,
        output_tokens_max=model.output_tokens_max,
        has_price=bool(tiers),
        input_price=max(
            (max(t.input_per_mtok, t.cached_input_per_mtok, t.cache_write_per_mtok) for t in tiers),
            default=0,
        ),
        output_price=max((tier.output_per_mtok for tier in tiers), default=0),
        approved=approved,
        priced=priced,
        template=_template(fixed),
    )
