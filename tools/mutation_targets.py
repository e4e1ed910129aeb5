"""What a mutation run changes and which tests it asks: the policy engine and the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Target:
    """One part of the product under mutation."""

    name: str
    modules: Sequence[str]
    """Dotted names under ``pointwork``."""
    enums: Sequence[str]
    """Whose members are taken for one another."""
    phases: Sequence[Sequence[str]]
    """Tests; each phase is tried on what the one before leaves alive."""
    deselected: str
    """Of those tests: what takes long and kills nothing that the others leave alive."""
    preload: Sequence[str]
    """What no mutant changes and every run needs. None of it starts a thread or opens a file."""
    sample: int
    seconds_max: int


_POLICY_TESTS = tuple(
    f"tests/policy/{name}"
    for name in (
        "test_cases.py",
        "test_filters.py",
        "test_ranking.py",
        "test_privacy_rules.py",
        "test_omega_pack.py",
        "test_overrides.py",
        "test_engine_edges.py",
        "test_engine_made_up_packs.py",
        "test_branches.py",
        "test_conditions.py",
        "test_windows.py",
        "test_windows_cache.py",
        "test_budget_scopes.py",
        "test_codex_roles.py",
        "test_codex_pack.py",
        "test_juggernaut_policies.py",
        "test_juggernaut_selector.py",
        "test_juggernaut_moves.py",
        "test_juggernaut_facades.py",
        "test_juggernaut_pack.py",
        "test_socioprophet_pack.py",
        "test_socioprophet_constraints.py",
        "test_socioprophet_permissions.py",
        "test_socioprophet_signals.py",
        "test_socioprophet_governance.py",
    )
)
_POLICY_PROPERTIES = tuple(
    f"tests/policy/test_engine_{name}.py" for name in ("monotonicity", "tasks", "properties")
)
POLICY = Target(
    name="policy",
    modules=(
        "policy.decide",
        "policy.documents.conditions",
        *(
            f"policy.engine.{name}"
            for name in (
                *("branches", "cheapest", "estimate", "facts", "filters", "gates", "hard_stop"),
                *("index", "lanes", "lifting", "obligations", "overrides", "overriding"),
                *(
                    "precedence",
                    "priority",
                    "ranking",
                    "role_table",
                    "safe_lane",
                    "sensitivity",
                    "windows",
                ),
            )
        ),
    ),
    enums=(
        *("Direction", "Effect", "GrantKind", "Lane", "MoveKind", "Obligation", "PrivacyTier"),
        *("ReasonCode", "ReceiptKind", "Sensitivity", "Site", "Trigger"),
    ),
    phases=(_POLICY_TESTS, _POLICY_PROPERTIES),
    deselected="many_drawn or another_process or any_decision",
    preload=("genai_prices", "temporalio.testing", "yaml", "pointwork.contract.decision"),
    sample=330,
    seconds_max=300,
)

_LEDGER = "tests/integration/ledger"
LEDGER = Target(
    name="ledger",
    modules=(
        "contract.money",
        *(
            f"ledger.{name}"
            for name in (
                *("holds", "budgets", "attempts", "attempt_rows", "outcomes", "settling"),
                *("invariants", "audit", "group_commit", "signals", "clock", "approvals"),
                *("model_windows", "sweeper"),
            )
        ),
        "contract.budget_windows",
        *(
            f"ledger.{name}"
            for name in (
                *("budget_windows", "budget_settings", "budget_alerts", "budget_stops"),
                *("margins", "cost_rollup", "costs", "reconcile"),
            )
        ),
    ),
    enums=(
        *("ApprovalState", "ApprovalVerdict", "AttemptState", "ClassSource", "GrantKind"),
        *("PartState", "ProviderFailureKind", "ReserveOutcome", "Sensitivity", "Settlement"),
        "TaskStatus",
    ),
    phases=(
        (
            *(
                f"{_LEDGER}/test_{name}.py"
                for name in (
                    *("budgets", "settling", "attempts", "outcomes", "sweeper", "invariants"),
                    *("budget_settings", "budget_alerts", "budget_stops", "margins", "costs"),
                    *("audit", "approvals", "signals", "model_windows", "reconcile"),
                    *("transactions", "incidents", "canary", "overlay_signal", "choices"),
                    *("drafts", "window_borders", "juggernaut_tables", "worst_case"),
                )
            ),
            "tests/unit/ledger/test_audit_figures.py",
            *("tests/contract/test_money.py", "tests/policy/test_windows.py"),
        ),
        tuple(f"{_LEDGER}/test_{name}.py" for name in ("races", "ledger_machine")),
    ),
    # On SQLite: a server's threads would not outlive the fork. A test that starts processes of
    # its own would run them on the code as it is.
    deselected="postgres or processes or killed",
    preload=(
        *("alembic.command", "cryptography.hazmat.primitives.ciphers.aead", "psycopg"),
        *("pysqlite3.dbapi2", "sqlmodel", "temporalio.testing", "pointwork.contract.decision"),
    ),
    sample=300,
    seconds_max=300,
)
TARGETS = {each.name: each for each in (POLICY, LEDGER)}
