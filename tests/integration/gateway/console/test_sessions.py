"""Signing in and out, and what keeps others out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from starlette.routing import Mount

from pointwork.contract.identity import Role
from pointwork.gateway.app import build_app
from pointwork.gateway.console.sessions import COOKIE, IDLE, LIFE, PATH, Session, seal, unseal
from pointwork.gateway.console.throttle import Throttle
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.master_keys import KEY_BYTES, MasterKeys
from tests.integration.gateway.console.visitor import ORIGIN, Visitor, forms, words
from tests.integration.gateway.house import House

NOW = datetime(2026, 5, 4, 9, 12, tzinfo=UTC)


def keys(active: str, **given: int) -> MasterKeys:
    return MasterKeys(active, {name: bytes([fill]) * KEY_BYTES for name, fill in given.items()})


async def test_a_person_with_a_key_is_let_in_and_sent_where_they_wanted_to_go(house: House) -> None:
    visitor = Visitor(house.gateway)
    sent = await visitor.get("/inbox?blind=1")
    assert (sent.status_code, sent.headers["location"]) == (
        303,
        "/console/sign-in?next=/console/inbox%3Fblind%3D1",
    )
    page = await visitor.http.get(sent.headers["location"])
    fields = forms(page)["/console/sign-in"] | {"key": house.person(Role.APPROVER).token}
    let_in = await visitor.post("/sign-in", **fields)
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/console/inbox?blind=1")
    assert (await visitor.get("/inbox")).status_code == 200


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.test/", "//evil.test", "/console/../v1", "/console/\\evil", "/v1/tasks"],
)
async def test_signing_in_leads_to_no_page_outside_the_console(house: House, wanted: str) -> None:
    visitor = Visitor(house.gateway)
    fields = forms(await visitor.get("/sign-in"))["/console/sign-in"]
    given = fields | {"key": house.person(Role.OWNER).token, "next": wanted}
    location = (await visitor.post("/sign-in", **given)).headers["location"]
    assert location == "/console/tasks"


async def test_the_cookie_is_for_the_console_alone_and_no_script_reads_it(house: House) -> None:
    visitor = Visitor(house.gateway)
    set_cookie = (await visitor.sign_in(house.person())).headers["set-cookie"]
    assert set_cookie.startswith(f"{COOKIE}=")
    stated = set_cookie.lower()
    for flag in ("httponly", "samesite=strict", "path=/console", "max-age=43200"):
        assert flag in stated
    assert "secure" not in stated


async def test_the_cookie_is_secure_where_the_request_came_by_https(house: House) -> None:
    visitor = Visitor(house.gateway)
    visitor.http.base_url = "https://console.test"
    fields = forms(await visitor.get("/sign-in"))["/console/sign-in"]
    given = fields | {"key": house.person().token}
    headers = {"origin": "https://console.test"}
    signed = await visitor.http.post("/console/sign-in", data=given, headers=headers)
    assert "secure" in signed.headers["set-cookie"].lower()


async def test_a_wrong_key_opens_nothing_and_is_not_told_why(house: House) -> None:
    visitor, known = Visitor(house.gateway), house.person()
    key_id = known.token.split("_")[1]
    for token in ("", "nonsense", "pwk_abc_def", f"pwk_{key_id}_wrong"):
        refused = await visitor.try_key(token)
        assert refused.status_code == 401
        assert "This key opens nothing" in refused.text
        assert COOKIE not in refused.headers.get("set-cookie", "")


async def test_a_program_does_not_sign_in(house: House) -> None:
    refused = await Visitor(house.gateway).sign_in(house.account())
    assert refused.status_code == 403
    assert "sign in with a person" in words(refused)


def guessing_at_noon(house: House) -> httpx2.AsyncClient:
    """Somebody's browser at a replica for which no time passes between two guesses."""
    app = build_app(house.gateway)
    (mount,) = [each for each in app.routes if isinstance(each, Mount) and each.path == PATH]
    mount.app._app.state.throttle = Throttle(lambda: 0.0)  # type: ignore[attr-defined]
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.77", 50000))
    return httpx2.AsyncClient(transport=transport, base_url=ORIGIN)


async def test_who_guesses_keys_waits_longer_and_longer(house: House) -> None:
    visitor, known = Visitor(house.gateway), house.person()
    visitor.http = guessing_at_noon(house)
    key_id = known.token.split("_")[1]
    tries = [await visitor.try_key(f"pwk_{key_id}_guess") for _ in range(6)]
    assert [each.status_code for each in tries] == [401, 401, 401, 401, 401, 429]
    assert "Try again in" in words(tries[-1])
    assert int(tries[-1].headers["retry-after"]) >= 1
    # Neither another key from there nor the right one from elsewhere gets past the wait.
    assert (await visitor.sign_in(house.person())).status_code == 429


def test_a_wait_doubles_with_each_failure_and_ends() -> None:
    clock = [0.0]
    throttle = Throttle(lambda: clock[0])
    waits = []
    for _ in range(8):
        throttle.failed(["key a"])
        waits.append(throttle.wait_seconds(["key a"]))
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:] == [3, 5, 9, 17]
    assert throttle.wait_seconds(["key b"]) == 0
    clock[0] += 17
    assert throttle.wait_seconds(["key a"]) == 0
    throttle.failed(["key a"])
    throttle.succeeded("key a")
    assert throttle.wait_seconds(["key a"]) == 0


async def test_a_revoked_key_signs_out_everywhere_at_once(house: House) -> None:
    visitor, person = Visitor(house.gateway), house.person()
    await visitor.sign_in(person)
    assert (await visitor.get("/tasks")).status_code == 200
    revoked = AccessKeys(house.gateway.engine).revoke(
        person.token.split("_")[1], "owner", datetime.now(UTC)
    )
    assert revoked
    assert (await visitor.get("/tasks")).status_code == 303
    assert (await visitor.get("/live")).status_code == 401


async def test_another_replica_knows_the_session(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person())
    other = visitor.at_another(house.gateway)
    assert (await other.get("/tasks")).status_code == 200
    # A form of the one is a form of the other.
    assert (await other.post("/sign-out", csrf=await visitor.csrf())).status_code == 303


async def test_who_signs_out_is_out(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person())
    await visitor.act("/sign-out")
    assert (await visitor.get("/tasks")).status_code == 303


async def test_a_form_without_this_sessions_token_changes_nothing(house: House) -> None:
    visitor, other = Visitor(house.gateway), Visitor(house.gateway)
    await visitor.sign_in(house.person())
    await other.sign_in(house.person())
    for token in ("", "guess", await other.csrf()):
        refused = await visitor.post("/sign-out", csrf=token)
        assert refused.status_code == 403
        assert "not one of this session" in words(refused)
    assert (await visitor.get("/tasks")).status_code == 200


async def test_a_form_from_another_site_changes_nothing(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person())
    data = {"csrf": await visitor.csrf()}
    for headers in (
        {"origin": "https://evil.test"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        refused = await visitor.http.post("/console/sign-out", data=data, headers=headers)
        assert refused.status_code == 403
    own = {"origin": "null", "sec-fetch-site": "same-origin"}
    assert (await visitor.http.post("/console/sign-out", data=data, headers=own)).status_code == 303


async def test_every_response_keeps_scripts_frames_and_caches_of_others_out(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.OWNER))
    paths = (
        "/sign-in",
        "/tasks",
        "/inbox",
        "/tasks/none",
        "/nowhere",
        "/tasks?limit=x&q=" + "x" * 200,
    )
    for response in [await visitor.get(path) for path in paths]:
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-store"


async def test_styles_and_scripts_may_be_kept_for_ever_under_their_digest(house: House) -> None:
    visitor = Visitor(house.gateway)
    page = await visitor.get("/sign-in")
    found = [part.split('"')[0] for part in page.text.split('="') if "/static/" in part]
    assert {each.rpartition(".")[2] for each in found} == {"css", "js", "svg"}
    for path in found:
        kept = await visitor.http.get(path)
        assert "immutable" in kept.headers["cache-control"]
    stale = found[0].replace("/static/", "/static/0")
    assert (await visitor.http.get(stale)).status_code == 404
    assert ORIGIN not in page.text
    assert "http" not in page.text.partition("<body")[0]


async def test_what_a_person_does_moves_the_idle_end_on_and_what_only_listens_does_not(
    house: House,
) -> None:
    visitor, person = Visitor(house.gateway), house.person()
    await visitor.sign_in(person)
    now, held = datetime.now(UTC), house.gateway.vault.master_keys
    began = Session.start(person.token.split("_")[1], person.name, now - timedelta(minutes=50))
    visitor.http.cookies.clear()
    visitor.http.cookies.set(COOKIE, seal(began, held), domain="console.test", path="/console")
    value = (await visitor.get("/inbox")).headers["set-cookie"].partition("=")[2].split(";")[0]
    renewed = unseal(value.strip('"'), held, now)
    assert renewed is not None
    assert (renewed.issued_at, renewed.csrf) == (began.issued_at, began.csrf)
    assert renewed.seen_at > began.seen_at
    # Seen a moment ago: nothing to renew.
    assert "set-cookie" not in (await visitor.get("/inbox")).headers


def test_a_session_ends_by_itself_and_earlier_where_nobody_uses_it() -> None:
    held, session = keys("a", a=1), Session.start("id", "ada", NOW)
    value = seal(session, held)
    assert unseal(value, held, NOW + IDLE - timedelta(seconds=1)) == session
    assert unseal(value, held, NOW + IDLE) is None
    used = replace(session, seen_at=int((NOW + LIFE).timestamp()) - 10)
    assert unseal(seal(used, held), held, NOW + LIFE - timedelta(seconds=1)) == used
    assert unseal(seal(used, held), held, NOW + LIFE) is None


def test_a_session_outlives_a_rotation_while_the_old_key_is_held() -> None:
    session = Session.start("id", "ada", NOW)
    value = seal(session, keys("a", a=1))
    assert unseal(value, keys("b", a=1, b=2), NOW) == session
    assert unseal(value, keys("b", b=2), NOW) is None
    # The name of the key tells nothing to who has it not.
    assert unseal(value, keys("a", a=3), NOW) is None


@pytest.mark.parametrize(
    "value", ["", "a", "a.", ".", "a.AAAA", "a.!!!!", "b.x", "a." + "A" * 4000]
)
def test_a_made_up_cookie_is_no_session(value: str) -> None:
    assert unseal(value, keys("a", a=1), NOW) is None
