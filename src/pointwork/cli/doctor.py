"""``pointwork doctor``: is this deployment fit to run on, and what to do where it is not."""

import asyncio
from pathlib import Path

from rich.text import Text

from pointwork.cli.checks import (
    Check,
    Verdict,
    check_disk,
    check_language,
    check_ledger,
    check_models,
    check_policy,
    check_private,
    check_python,
    check_sqlite,
)
from pointwork.cli.deployment import app_root
from pointwork.cli.errors import ExitCode
from pointwork.cli.live_checks import check_server, check_settings
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.screen import FAIL, OK, WARN, Screen
from pointwork.cli.vault_checks import check_vault
from pointwork.cli.vault_place import master_key_path

_STYLES = {Verdict.OK: OK, Verdict.WARN: WARN, Verdict.FAIL: FAIL}


def doctor(
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Check ledger, keys, policy, model and server; name the remedies."""
    checks = asyncio.run(_check_all(state_dir, policies_dir, host))
    failed = [each for each in checks if each.verdict is Verdict.FAIL]
    screen = Screen(as_json=as_json)
    if as_json:
        rows = [
            {
                "check": each.name,
                "verdict": each.verdict.value,
                "found": each.found,
                "remedy": each.remedy or None,
            }
            for each in checks
        ]
        screen.document({"ok": not failed, "checks": rows})
    else:
        for each in checks:
            _print(screen, each)
        screen.line()
        warned = sum(each.verdict is Verdict.WARN for each in checks)
        if failed:
            screen.line(f"{len(failed)} failed, {warned} to look at.", FAIL)
        else:
            screen.line(f"Fit to run: {len(checks)} checks, {warned} to look at.", OK)
    return ExitCode.UNHEALTHY if failed else ExitCode.OK


async def _check_all(state_dir: Path, policies_dir: Path | None, host: str) -> list[Check]:
    """Every check, in the order in which one stands on another."""
    policy, library = check_policy(policies_dir, host, state_dir)
    checks = [check_python(), check_sqlite(), check_language(), policy, check_disk(state_dir)]
    if not state_dir.is_dir():
        remedy = "run `pointwork up`, or give the folder it runs with"
        return [*checks, Check("state", Verdict.FAIL, f"{state_dir} does not exist", remedy)]
    checks += [check_private(master_key_path(state_dir)), *check_ledger(state_dir)]
    checks += check_vault(state_dir)
    if library is not None:
        checks += check_models(state_dir, library)
    checks += await check_server(state_dir)
    if any(each.verdict is Verdict.FAIL for each in checks):
        return checks
    # Last, because it opens everything the workers open and would fail for the same reasons.
    return [*checks, *await check_settings(state_dir, app_root())]


def _print(screen: Screen, check: Check) -> None:
    style = _STYLES[check.verdict]
    line = Text.assemble((f"{check.verdict.value:<5}", style), f"{check.name:<16}", check.found)
    screen.out.print(line, soft_wrap=True)
    if check.remedy:
        screen.out.print(Text(f"{'':<21}{check.remedy}", style="dim"), soft_wrap=True)
