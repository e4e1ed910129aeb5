"""What people are told of a task that waits: by webhook, chat and mail, and never a word of it."""

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.decision import GrantKind
from pointwork.contract.notice import NoticeKind
from pointwork.contract.reasons import ReasonCode
from tests.fakes.mail_server import mail_server
from tests.fakes.vendor_reply import Act, LoopbackVendor, Reply
from workers.notices import SIGNATURE_HEADER, Notices
from workers.settings import NoticeSettings

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
CONSOLE = "https://console.example/pointwork/"


def request() -> ApprovalRequest:
    return ApprovalRequest(
        approval_id="invoice-4711/decision/1/approval",
        task_id="invoice-4711",
        requester="billing",
        asks_for=GrantKind.SENSITIVE_EGRESS,
        reason=ReasonCode.PRIVACY,
        ceiling_nano_usd=600_000_000,
        policy_sha256="b" * 64,
        request_sha256="d" * 64,
        opened_at=NOW,
        expires_at=NOW + timedelta(days=1),
        approvers_min=2,
    )


async def send(kind: NoticeKind = NoticeKind.OPENED, **settings: Any) -> None:
    """As an activity does, on a thread without an event loop."""
    notices = Notices(NoticeSettings(**({"console_url": CONSOLE} | settings)))
    await asyncio.to_thread(notices.send, request(), kind)


def mailed(port: int, **settings: Any) -> dict[str, Any]:
    given = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_tls": "none",
        "email_from": "pointwork@example.org",
        "email_to": ("ada@example.org",),
        "email_escalation_to": ("boss@example.org",),
    }
    return given | settings


async def test_a_webhook_gets_references_figures_and_a_signature_over_them() -> None:
    async with LoopbackVendor() as receiver:
        receiver.reply = Reply.of_json(200, {})
        await send(webhook_url=f"{receiver.base_url}/hooks/1", webhook_secret="s3cret-of-the-hook")
        [got] = receiver.received
    assert got.path == "/hooks/1"
    assert got.body["notice_id"] == "invoice-4711/decision/1/approval/opened"
    assert got.body["task_id"] == "invoice-4711"
    assert got.body["digest"] == "d" * 64
    assert got.body["link"] == "https://console.example/pointwork/tasks/invoice-4711"
    body = json.dumps(got.body, separators=(",", ":"), ensure_ascii=False).encode()
    digest = hmac.new(b"s3cret-of-the-hook", body, hashlib.sha256).hexdigest()
    assert got.headers[SIGNATURE_HEADER] == f"sha256={digest}"


async def test_a_chat_gets_plain_lines_with_its_signs_escaped() -> None:
    async with LoopbackVendor() as receiver:
        receiver.reply = Reply.of_json(200, {})
        url = f"{receiver.base_url}/services/T0/B0/x"
        await send(NoticeKind.REMINDER, chat_url=url, console_url="https://c.example/<a>&b")
        [got] = receiver.received
    text = got.body["text"]
    assert "A decision is still needed: task invoice-4711" in text
    assert "2 persons must approve" in text
    assert "https://c.example/&lt;a&gt;&amp;b/tasks/invoice-4711" in text


async def test_mail_goes_to_those_named_and_an_escalation_to_more() -> None:
    async with mail_server() as box:
        await send(**mailed(box.port))
        await send(NoticeKind.ESCALATION, **mailed(box.port))
    first, second = box.messages
    assert first["To"] == "ada@example.org"
    assert second["To"] == "ada@example.org, boss@example.org"
    assert second["Subject"] == "Nobody has decided yet: task invoice-4711 (sensitive egress)"
    assert first.get_content_type() == "text/plain"
    assert "up to $0.6000" in first.get_content()
    assert first["Message-ID"] != second["Message-ID"]
    assert box.receivers == ["<ada@example.org>", "<ada@example.org>", "<boss@example.org>"]


async def test_the_same_notice_sent_again_has_the_same_id() -> None:
    async with mail_server() as box:
        for _ in range(2):
            await send(**mailed(box.port))
    assert len({each["Message-ID"] for each in box.messages}) == 1


@pytest.mark.parametrize(
    "reply", [Reply.of_json(500, {}), Reply(script=(Act.CUT,)), Reply.of_json(302, {})]
)
async def test_a_receiver_in_trouble_keeps_nobody_else_from_being_told(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    async with LoopbackVendor() as broken, LoopbackVendor() as chat, mail_server() as box:
        broken.reply, chat.reply = reply, Reply.of_json(200, {})
        await send(
            webhook_url=f"{broken.base_url}/token-of-the-hook",
            chat_url=f"{chat.base_url}/x",
            **mailed(box.port),
        )
        assert (len(chat.received), len(box.messages)) == (1, 1)
    assert "was not sent by webhook" in caplog.text
    assert "token-of-the-hook" not in caplog.text


async def test_a_mail_server_that_refuses_or_is_gone_is_logged_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with mail_server() as box:
        box.refuses = True
        await send(**mailed(box.port))
        port = box.port
    await send(**mailed(port))
    assert caplog.text.count("was not sent by mail") == 2
    assert "ada@example.org" not in caplog.text


async def test_a_receiver_that_never_answers_keeps_nobody_else_from_being_told() -> None:
    async with mail_server() as box:
        async with LoopbackVendor() as silent:
            silent.reply = Reply(is_silent=True)
            sending = asyncio.create_task(send(webhook_url=silent.base_url, **mailed(box.port)))
            async with asyncio.timeout(30):
                while not (silent.received and box.messages):
                    await asyncio.sleep(0.01)
        await sending


async def test_mail_in_the_clear_leaves_no_address_of_this_house(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await send(**mailed(25, smtp_host="192.0.2.1"))
    assert "was not sent by mail (MailRefusedError)" in caplog.text


async def test_with_nothing_set_nobody_is_told() -> None:
    async with mail_server() as box:
        await send(**mailed(box.port, email_to=(), email_escalation_to=()))
        await send()
    assert box.messages == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"webhook_url": "http://example.com/hook"}, "POINTWORK_NOTICE_WEBHOOK_URL"),
        ({"chat_url": "ftp://example.com"}, "POINTWORK_NOTICE_CHAT_URL"),
        ({"email_to": ("ada@example.org",)}, "POINTWORK_NOTICE_SMTP_HOST"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_the_start(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        NoticeSettings(**settings)
