"""Costs by day, who each call was charged to, reviews of overruns, and Juggernaut's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OF_CALLS = ("pack", "task_class", "caller", "worker")


def upgrade() -> None:
    for name in _OF_CALLS:
        op.add_column("attempt", sa.Column(name, sa.String(), nullable=True))
    op.add_column("outcome", sa.Column("pack", sa.String(), nullable=True))
    op.drop_index(op.f("ix_outcome_finished_at"), table_name="outcome")
    op.create_index(
        op.f("ix_outcome_finished_at_cost_nano_usd_pack_task_id"),
        "outcome",
        ["finished_at", "cost_nano_usd", "pack", "task_id"],
        unique=False,
    )
    op.add_column("overrun", sa.Column("reviewed_at", _time(), nullable=True))
    op.add_column("overrun", sa.Column("reviewed_by", sa.String(), nullable=True))
    _create_cost_day()
    _fill()
    _create_juggernaut()


def downgrade() -> None:
    for name in (
        "cost_budgets",
        "model_performance",
        "model_selections",
        "routing_policies",
        "governance_tasks",
        "cost_day",
    ):
        op.drop_table(name)
    op.drop_column("overrun", "reviewed_by")
    op.drop_column("overrun", "reviewed_at")
    op.drop_index(op.f("ix_outcome_finished_at_cost_nano_usd_pack_task_id"), table_name="outcome")
    op.create_index(op.f("ix_outcome_finished_at"), "outcome", ["finished_at"], unique=False)
    op.drop_column("outcome", "pack")
    for name in reversed(_OF_CALLS):
        op.drop_column("attempt", name)


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _create_cost_day() -> None:
    keys = ("day", *_OF_CALLS, "vendor", "model")
    measures = (
        "calls",
        "cost_nano_usd",
        "at_least_nano_usd",
        "estimate_nano_usd",
        "input_tokens",
        "output_tokens",
        "metered_calls",
        "metered_cost_nano_usd",
        "metered_estimate_nano_usd",
        "above_estimate_calls",
    )
    op.create_table(
        "cost_day",
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in keys[1:]),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in measures),
        sa.PrimaryKeyConstraint(*keys, name=op.f("pk_cost_day")),
    )


def _fill() -> None:
    """What calls made before cost, by the decision that reserved the money for each."""
    if op.get_context().dialect.name == "sqlite":
        found = [f"d.body ->> '$.{path}'" for path in ("plan.policy.pack", "plan.task_class")]
        found += ["d.body ->> '$.input.request.caller'", "d.body ->> '$.input.request.worker'"]
        day = "date(a.sent_at)"
    else:
        paths = ("plan,policy,pack", "plan,task_class", "input,request,caller")
        found = [f"d.body::json #>> '{{{path}}}'" for path in paths]
        found.append("d.body::json #>> '{input,request,worker}'")
        day = "CAST(a.sent_at AT TIME ZONE 'UTC' AS DATE)"
    op.execute(
        "UPDATE attempt SET (pack, task_class, caller, worker) = ("
        f"SELECT {', '.join(found)} FROM hold_part p JOIN decision d "
        "ON d.decision_id = p.decision_id WHERE p.part_id = attempt.attempt_id)"
    )
    op.execute(
        "UPDATE outcome SET pack = coalesce("
        "(SELECT min(a.pack) FROM attempt a WHERE a.task_id = outcome.task_id), "
        "(SELECT t.pack FROM task t WHERE t.task_id = outcome.task_id))"
    )
    metered = "p.settlement = 'exact' AND a.state = 'done'"
    op.execute(
        "INSERT INTO cost_day (day, pack, task_class, caller, worker, vendor, model, calls, "
        "cost_nano_usd, at_least_nano_usd, estimate_nano_usd, input_tokens, output_tokens, "
        "metered_calls, metered_cost_nano_usd, metered_estimate_nano_usd, above_estimate_calls) "
        f"SELECT {day}, coalesce(a.pack, ''), coalesce(a.task_class, ''), coalesce(a.caller, ''), "
        "coalesce(a.worker, ''), a.vendor, a.model, count(*), sum(p.posted_nano_usd), "
        "sum(CASE WHEN p.settlement = 'at_least' THEN p.posted_nano_usd ELSE 0 END), "
        "sum(a.estimate_nano_usd), sum(coalesce(a.input_tokens, 0)), "
        "sum(coalesce(a.output_tokens, 0)), "
        f"sum(CASE WHEN {metered} THEN 1 ELSE 0 END), "
        f"sum(CASE WHEN {metered} THEN p.posted_nano_usd ELSE 0 END), "
        f"sum(CASE WHEN {metered} THEN a.estimate_nano_usd ELSE 0 END), "
        "sum(CASE WHEN p.posted_nano_usd > a.estimate_nano_usd THEN 1 ELSE 0 END) "
        "FROM hold_part p JOIN attempt a ON a.attempt_id = p.part_id "
        "WHERE (p.state = 'posted' OR p.posted_nano_usd > 0) AND a.sent_at IS NOT NULL "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )


def _create_juggernaut() -> None:
    op.create_table(
        "governance_tasks",
        _id(),
        sa.Column("type", sa.String(50)),
        sa.Column("class", sa.String(50)),
        _stamp("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_governance_tasks")),
    )
    op.create_table(
        "routing_policies",
        _id(),
        sa.Column("name", sa.String(50)),
        sa.Column("description", sa.Text()),
        sa.Column("policy_config", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true")),
        _stamp("created_at"),
        _stamp("updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_policies")),
        sa.UniqueConstraint("name", name=op.f("uq_routing_policies_name")),
    )
    op.create_table(
        "model_selections",
        _id(),
        sa.Column("task_id", sa.Uuid()),
        sa.Column("policy_name", sa.String(50)),
        sa.Column("selected_model", sa.String(100)),
        sa.Column("selected_provider", sa.String(50)),
        sa.Column("estimated_cost", sa.Numeric(10, 4)),
        sa.Column("actual_cost", sa.Numeric(10, 4)),
        sa.Column("tokens_used", sa.Integer()),
        sa.Column("response_time_ms", sa.Integer()),
        sa.Column("success", sa.Boolean()),
        _stamp("created_at"),
        sa.ForeignKeyConstraint(
            ["task_id"], ["governance_tasks.id"], name=op.f("fk_model_selections_governance_tasks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_selections")),
    )
    op.create_table(
        "model_performance",
        _id(),
        sa.Column("model_name", sa.String(100)),
        sa.Column("provider", sa.String(50)),
        sa.Column("window_start", sa.TIMESTAMP()),
        sa.Column("window_end", sa.TIMESTAMP()),
        sa.Column("total_requests", sa.Integer()),
        sa.Column("successful_requests", sa.Integer()),
        sa.Column("failed_requests", sa.Integer()),
        sa.Column("avg_response_time_ms", sa.Integer()),
        sa.Column("total_cost", sa.Numeric(10, 2)),
        sa.Column("avg_tokens_used", sa.Integer()),
        _stamp("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_performance")),
    )
    op.create_table(
        "cost_budgets",
        _id(),
        sa.Column("budget_type", sa.String(50)),
        sa.Column("budget_period", sa.String(20)),
        sa.Column("budget_amount", sa.Numeric(10, 2)),
        sa.Column("spent_amount", sa.Numeric(10, 2), server_default=sa.text("0")),
        sa.Column("period_start", sa.TIMESTAMP()),
        sa.Column("period_end", sa.TIMESTAMP()),
        sa.Column("alert_threshold", sa.Numeric(5, 2), server_default=sa.text("0.80")),
        _stamp("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_budgets")),
    )


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False)


def _stamp(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.TIMESTAMP(), server_default=sa.func.now())
