"""The two lists of a pack that an auditor asks for: approved private models, and ceilings."""

from typing import TYPE_CHECKING

from pointwork.cli.screen import Screen, table, usd

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.pack import Pack

ANY_FAMILY = "any family"


def ceiling(pack: "Pack", task_class: str, family: str) -> int:
    """The most one task of the class may cost with this family, in nano-USD."""
    cells, row = pack.ceilings.get(task_class, {}), pack.classes[task_class]
    return cells.get(family, row.ceiling or 0)


def show_approved(screen: Screen, bundle: "PolicyBundle") -> None:
    """The private models that sensitive content may go to, with who said so and when (OM-43)."""
    pack = bundle.pack
    listed = pack.privacy.approved_private_models
    if screen.as_json:
        return screen.document(
            {
                "policy": bundle.ref.model_dump(mode="json"),
                "approved": [each.model_dump(mode="json") for each in listed],
            }
        )
    if not listed:
        return screen.say(f"{pack.pack} {pack.version} approves no private model.")
    rows = table("MODEL", "APPROVED BY", "ON", "SITE")
    for each in listed:
        priced = bundle.models.get(each.model)
        site = priced.endpoint.site.replace("_", " ") if priced else "not routed"
        rows.add_row(each.model, each.approver, each.approved_on.isoformat(), site)
    return screen.show(rows)


def show_ceilings(screen: Screen, bundle: "PolicyBundle") -> None:
    """Every ceiling of this version by its cell: what a ledger row's ceiling is held against."""
    cells = _cells(bundle.pack)
    if screen.as_json:
        return screen.document(
            {
                "policy": bundle.ref.model_dump(mode="json"),
                "ceilings": [
                    {"class": name, "family": family, "ceiling_nano_usd": amount}
                    for name, family, amount in cells
                ],
            }
        )
    pack = bundle.pack
    screen.line(f"{pack.pack} {pack.version}, SHA-256 {bundle.pack_sha256}")
    rows = table("CLASS", "FAMILY", "CEILING", right=["CEILING"])
    for name, family, amount in cells:
        rows.add_row(name, family, usd(amount))
    return screen.show(rows)


def _cells(pack: "Pack") -> list[tuple[str, str, int]]:
    found = []
    for name, row in pack.classes.items():
        found += [(name, family, amount) for family, amount in pack.ceilings.get(name, {}).items()]
        if row.ceiling is not None:
            found.append((name, ANY_FAMILY, row.ceiling))
    return found
