"""What the gateway's clients ask, in which order, and what they make of answers; without I/O."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pointwork.client import (
    AccessRefusedError,
    GatewayClient,
    PendingApproval,
    SyncGatewayClient,
    TaskProgress,
)
from pointwork.client.gateway_replies import Reply, error_of, message_of
from pointwork.client.gateway_steps import (
    HELD_SECONDS,
    LAST_READ_SECONDS,
    PAUSE_SECONDS_MAX,
    Call,
    GatewayAddress,
    GatewaySteps,
    NoReply,
    Pause,
    Steps,
)
from pointwork.contract.failures import (
    PointworkError,
    ServiceUnavailableError,
    TaskFailedError,
    TaskIdReusedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.gateway.problems import FAILURE_STATUS, ProblemError, openai_error, problem_of

URL = "http://gateway.test"
PROMPT = Prompt.from_text("a secret text")
DECLARED = TaskDeclaration(task_id="invoice-1", caller="billing")
RUNNING = {"task_id": "t-1", "status": "invoking", "started_at": "2026-11-22T08:00:00Z"}
ACCEPTED = Reply(202, {}, b'{"id": "t-1"}')
DOWN = NoReply(was_sent=False, cause="ConnectError")
CUT = NoReply(was_sent=True, cause="ReadError")
MUTE = NoReply(was_sent=True, cause="ReadTimeout")


def steps(retry_seconds: float = 30.0) -> GatewaySteps:
    return GatewaySteps(URL, retry_seconds)


def asked(going: Steps[Any], came: Reply | NoReply | None = None) -> Call:
    step = going.send(came)
    assert isinstance(step, Call)
    return step


def paused(going: Steps[Any], came: Reply | NoReply) -> Pause:
    step = going.send(came)
    assert isinstance(step, Pause)
    return step


def reply(status: int, body: object, **headers: str) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, encoded(body))


def encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def refusal(problem: ProblemError) -> Reply:
    return reply(problem.status, openai_error(problem), **problem.headers)


LIMITED = refusal(ProblemError(429, "rate_limited", "slow down", headers={"retry-after": "7"}))
AWAY = refusal(problem_of(ServiceUnavailableError("Temporal answered UNAVAILABLE")))


@pytest.mark.parametrize("came", [DOWN, CUT, LIMITED, AWAY, reply(502, b"<html>Bad Gateway")])
def test_a_gateway_that_is_away_is_asked_the_very_same_again(came: Reply | NoReply) -> None:
    going = steps().submit(PROMPT, DECLARED, None)
    first = asked(going)
    paused(going, came)
    assert asked(going) == first
    with pytest.raises(StopIteration) as done:
        going.send(ACCEPTED)
    assert done.value.value == "t-1"


def test_retry_after_is_kept_and_other_pauses_grow_up_to_a_bound() -> None:
    going = steps(retry_seconds=1000).submit(PROMPT, DECLARED, None)
    asked(going)
    assert paused(going, LIMITED).seconds == 7.0
    asked(going)
    pauses = []
    for _ in range(8):
        pauses.append(paused(going, DOWN).seconds)
        asked(going)
    assert pauses[0] < 1.0 < pauses[-1]
    assert max(pauses) <= PAUSE_SECONDS_MAX


@pytest.mark.parametrize(
    ("came", "says"),
    [
        (DOWN, "does not answer at http://gateway.test (ConnectError); start it with"),
        (CUT, "hung up at http://gateway.test (ReadError)"),
        (LIMITED, "slow down; try again later"),
        (AWAY, "Temporal answered UNAVAILABLE; try again later"),
        (reply(502, b"<html>Bad Gateway"), "HTTP 502, which is not a Pointwork gateway's answer"),
    ],
)
def test_a_gateway_that_stays_away_is_given_up_on_with_the_remedy(
    came: Reply | NoReply, says: str
) -> None:
    going = steps(retry_seconds=0).submit(PROMPT, DECLARED, None)
    asked(going)
    with pytest.raises(ServiceUnavailableError) as given_up:
        going.send(came)
    assert says in str(given_up.value)
    assert "secret text" not in str(given_up.value)


def test_a_pause_longer_than_the_patience_is_not_begun() -> None:
    going = steps(retry_seconds=5).submit(PROMPT, DECLARED, None)
    asked(going)
    with pytest.raises(ServiceUnavailableError, match="slow down"):
        going.send(LIMITED)


def test_a_wait_is_held_in_pieces_and_a_lost_one_is_taken_up_by_the_tasks_id() -> None:
    going = steps().run(PROMPT, DECLARED, None, None, for_person=False)
    asked(going)
    held = asked(going, ACCEPTED)
    assert (held.method, held.path) == ("GET", "/v1/tasks/t-1")
    assert float(held.query["wait_seconds"]) == HELD_SECONDS
    assert held.read_seconds > HELD_SECONDS
    assert asked(going, reply(200, RUNNING)) == held
    paused(going, CUT)
    assert asked(going) == held


def test_a_wait_for_which_there_is_no_place_looks_now_and_then_for_as_long_as_it_takes() -> None:
    going = steps(retry_seconds=0).result("t-1", None)
    held = asked(going)
    for _ in range(100):
        paused(going, LIMITED)
        look = asked(going)
        assert (look.path, dict(look.query)) == (held.path, {})
        assert asked(going, reply(200, RUNNING)) == held


@dataclass
class Drive:
    """Drives operations on a clock that only their pauses and unanswered reads move."""

    gateway: Callable[[Call], Reply | NoReply]
    retry_seconds: float = 30.0
    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)

    @property
    def steps(self) -> GatewaySteps:
        return GatewaySteps(URL, self.retry_seconds, now=lambda: self.seconds)

    def run(self, wait_seconds: float) -> None:
        self.to_the_end(self.steps.run(PROMPT, DECLARED, None, wait_seconds, for_person=True))

    def result(self, wait_seconds: float) -> None:
        self.to_the_end(self.steps.result("t-1", wait_seconds))

    def to_the_end(self, going: Steps[Any]) -> None:
        step = next(going)
        while True:
            came = None
            if isinstance(step, Pause):
                self.seconds += step.seconds
            else:
                self.calls.append(step)
                came = self.gateway(step)
                self.seconds += step.read_seconds if came is MUTE else 0.0
            step = going.send(came)


def started_then(came: Reply | NoReply) -> Callable[[Call], Reply | NoReply]:
    return lambda call: ACCEPTED if call.method == "POST" else came


def test_a_wait_for_a_gateway_that_nobody_runs_ends_in_time_with_the_remedy() -> None:
    drive = Drive(lambda _: DOWN, retry_seconds=6)
    with pytest.raises(ServiceUnavailableError, match=r"does not answer at .* start it with"):
        drive.run(wait_seconds=1)
    assert drive.seconds <= 1
    assert len(drive.calls) > 1


@pytest.mark.parametrize("came", [DOWN, CUT, AWAY, LIMITED])
def test_a_wait_for_a_started_task_ends_in_time_however_the_gateway_is_away(
    came: Reply | NoReply,
) -> None:
    for wait in (Drive.run, Drive.result):
        drive = Drive(started_then(came), retry_seconds=6)
        with pytest.raises(TimeoutError, match=r"t-1: no answer .* fetch it by its id") as over:
            wait(drive, 1.0)
        assert drive.seconds == pytest.approx(1)
        assert isinstance(over.value.__cause__, ServiceUnavailableError)


@pytest.mark.parametrize("retry_seconds", [0, 30])
@pytest.mark.parametrize("wait_seconds", [0.0, 1.0, HELD_SECONDS, 200.0])
def test_a_gateway_that_accepts_and_says_nothing_costs_no_more_than_the_wait(
    wait_seconds: float, retry_seconds: float
) -> None:
    for gateway, wait in (
        (lambda _: MUTE, Drive.run),
        (started_then(MUTE), Drive.run),
        (lambda _: MUTE, Drive.result),
    ):
        drive = Drive(gateway, retry_seconds)
        with pytest.raises((TimeoutError, ServiceUnavailableError)) as over:
            wait(drive, wait_seconds)
        assert drive.seconds <= wait_seconds + LAST_READ_SECONDS
        if drive.seconds >= wait_seconds:
            assert over.type is TimeoutError


@pytest.mark.parametrize("came", [CUT, MUTE, AWAY, reply(502, b"<html>Bad Gateway")])
def test_a_wait_that_ends_before_the_task_is_known_to_run_says_how_to_find_it(
    came: Reply | NoReply,
) -> None:
    drive = Drive(lambda call: DOWN if drive.calls[1:] else came)
    with pytest.raises(TimeoutError, match=r"invoice-1: no answer .* the same call finds it"):
        drive.run(wait_seconds=1.5)


def test_a_submission_that_the_limit_stopped_is_no_task_that_goes_on() -> None:
    drive = Drive(lambda _: LIMITED)
    with pytest.raises(ServiceUnavailableError, match="slow down; try again later"):
        drive.run(wait_seconds=1)
    assert drive.seconds == 0


def test_a_gateway_that_stays_away_is_given_up_on_before_a_longer_wait_is_over() -> None:
    drive = Drive(started_then(DOWN), retry_seconds=6)
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        drive.run(wait_seconds=100)
    assert drive.seconds <= 6


def test_a_wait_of_nothing_still_submits_and_looks_once() -> None:
    drive = Drive(started_then(reply(200, RUNNING)))
    with pytest.raises(TimeoutError, match="the task goes on"):
        drive.run(wait_seconds=0)
    assert [each.method for each in drive.calls] == ["POST", "GET"]
    assert {each.read_seconds for each in drive.calls} == {LAST_READ_SECONDS}


def test_only_who_waits_for_a_person_tells_the_gateway_so() -> None:
    for for_person, told in ((False, None), (True, "true")):
        going = steps().run(PROMPT, DECLARED, None, None, for_person=for_person)
        asked(going)
        assert asked(going, ACCEPTED).query.get("for_person") == told


def test_the_whole_declaration_is_sent_so_that_no_default_is_the_gateways() -> None:
    body = json.loads(asked(steps().submit(PROMPT, DECLARED, {"type": "object"})).body or b"")
    assert TaskDeclaration.model_validate(body["task"]) == DECLARED
    assert (body["task"]["pack"], body["task"]["constraints"]["max_output_tokens"]) == (
        "omega",
        512,
    )
    assert Prompt.model_validate(body["prompt"]) == PROMPT
    assert body["answer_schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        *((TaskFailedError(each, "why", "t-1"), TaskFailedError) for each in FAILURE_STATUS),
        (TaskIdReusedError("used before"), TaskIdReusedError),
        (TaskNotFoundError("no task"), TaskNotFoundError),
        (TaskRefusedError("too large"), TaskRefusedError),
        (ServiceUnavailableError("away"), ServiceUnavailableError),
    ],
)
@pytest.mark.parametrize("as_problem_details", [False, True])
def test_each_error_of_the_library_comes_back_as_itself_in_either_form(
    raised: PointworkError, kind: type[PointworkError], as_problem_details: bool
) -> None:
    problem = problem_of(raised)
    body: dict[str, Any] = openai_error(problem)
    if as_problem_details:
        body = {"type": f"urn:pointwork:problem:{problem.code}", "detail": problem.detail}
        body |= problem.more
    got = error_of(reply(problem.status, body), URL)
    assert type(got) is kind
    if isinstance(raised, TaskFailedError):
        assert vars(got) == vars(raised)
    else:
        assert str(raised) in str(got)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessRefusedError), (403, AccessRefusedError), (413, TaskRefusedError)],
)
def test_refusals_keep_the_gateways_own_sentence(status: int, kind: type[PointworkError]) -> None:
    got = error_of(refusal(ProblemError(status, "some_code", "do this")), URL)
    assert (type(got), str(got)) == (kind, "do this")


@pytest.mark.parametrize(
    "came",
    [reply(200, b"<html>welcome"), reply(200, [1]), reply(307, b""), reply(404, b"no such page")],
)
def test_what_is_no_gateway_is_named_as_such(came: Reply) -> None:
    going = steps().status("t-1")
    asked(going)
    with pytest.raises(ServiceUnavailableError, match="not a Pointwork gateway's answer"):
        going.send(came)


def test_a_newer_gateways_fields_are_passed_over_and_another_contract_is_named() -> None:
    newer = RUNNING | {"is_final": False, "colour": "blue", "approval": None}
    assert message_of(TaskProgress, newer, URL).task_id == "t-1"
    with pytest.raises(ServiceUnavailableError, match=r"TaskProgress\.status: .*install the"):
        message_of(TaskProgress, RUNNING | {"status": "dreaming"}, URL)


def test_the_approval_that_the_client_reads_is_the_one_that_the_gateway_writes() -> None:
    from pointwork.contract.approval import ApprovalRequest
    from pointwork.gateway.tasks.views import approval_view

    written = approval_view(
        ApprovalRequest.model_validate(
            {
                "approval_id": "t-1/approval/1",
                "task_id": "t-1",
                "requester": "billing",
                "asks_for": "data_classification",
                "reason": "sensitivity_undeclared",
                "ceiling_nano_usd": 1,
                "policy_sha256": "a",
                "request_sha256": "b",
                "opened_at": "2026-11-22T08:00:00Z",
                "expires_at": "2026-11-23T08:00:00Z",
            }
        )
    )
    assert set(written) == set(PendingApproval.model_fields)


@pytest.mark.parametrize("task_id", ["", "../models", "a b", "x" * 200])
def test_what_is_no_id_is_not_found_without_asking(task_id: str) -> None:
    with pytest.raises(TaskNotFoundError):
        next(steps().status(task_id))


@pytest.mark.parametrize("base_url", [f"{URL}/v1", f"{URL}/v1/", f"{URL}/", f" {URL}\n"])
def test_the_address_is_taken_as_openai_clients_are_given_it(base_url: str) -> None:
    assert GatewayAddress.of(base_url, "k\n").url == URL


@pytest.mark.parametrize("base_url", ["", "gateway:8780", "ftp://gateway", "http://u:p@gateway"])
def test_what_is_no_address_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url: .* is no address"):
        GatewayAddress.of(base_url, "key")


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(ValueError, match="'gateway'") as refused:
        GatewayAddress.of("http://ada:swordfish@gateway", "key")
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize("key", ["", " ", "secret key", "secret\nkey", "sécret"])
def test_a_key_that_cannot_be_sent_is_refused_and_never_shown(key: str) -> None:
    for make in (GatewayClient, SyncGatewayClient):
        with pytest.raises(ValueError, match="api_key is empty or no key") as refused:
            make(URL, key)
        assert "cret" not in str(refused.value)
    assert "pwk_abc" not in repr(GatewayAddress.of(URL, "pwk_abc"))
