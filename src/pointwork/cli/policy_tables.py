"""``pointwork policy show PACK --table`` and ``--switches``: a pack beside its source document."""

from typing import TYPE_CHECKING

from rich.text import Text

from pointwork.cli.screen import Screen, facts, table

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle


def show_tables(screen: Screen, bundle: "PolicyBundle") -> None:
    """The tables of the pack's source document, row by row."""
    from pointwork.policy.reading.seed_table import seed_tables

    tables = seed_tables(bundle)
    if screen.as_json:
        rows = {
            each.title: [dict(zip(each.columns, row, strict=True)) for row in each.rows]
            for each in tables
        }
        return screen.document({"policy": bundle.ref.model_dump(mode="json"), "tables": rows})
    for number, each in enumerate(tables):
        if number:
            screen.line()
        screen.line(each.title, "bold")
        rows_ = table(*each.columns, shrink=each.columns[1:])
        for row in each.rows:
            rows_.add_row(*(Text(cell) for cell in row))
        screen.show(rows_)
    return None


def show_switches(screen: Screen, bundle: "PolicyBundle") -> None:
    """What the pack says where packs differ."""
    from pointwork.policy.reading.switches import switches

    found = switches(bundle.pack)
    if screen.as_json:
        policy = bundle.ref.model_dump(mode="json")
        return screen.document({"policy": policy, "switches": found})
    return screen.show(facts(found.items()))
