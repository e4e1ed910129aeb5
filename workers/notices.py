"""Tells people that a task waits: by webhook, chat and mail, as the settings say.

A notice that cannot be delivered is logged and never holds an approval up: the inbox has it too.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from email.message import EmailMessage

import httpx2

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.notice import Notice, NoticeKind, notice_of
from pointwork.providers.departure import clear_notice
from pointwork.providers.egress import EgressRefusedError, http_client, single_exchange
from pointwork.providers.mail import MailRefusedError, MailServer, send_mail
from workers.settings import NoticeSettings

SIGNATURE_HEADER = "pointwork-signature"
_TIMEOUT_SECONDS = 10.0
_PATIENCE_SECONDS = 15.0
"""A step that waits longer than its own limit would be tried again, and the task not held."""
_THREADS = 4
_log = logging.getLogger(__name__)


class Notices:
    """Sends each notice once a call of ``send``; a receiver tells repeats by the notice's id."""

    def __init__(self, settings: NoticeSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notice")

    def send(self, request: ApprovalRequest, kind: NoticeKind) -> None:
        """Tell everybody who is to be told. It never raises, and soon leaves a slow one behind."""
        notice = notice_of(request, kind, self._settings.console_url)
        sent = [
            self._threads.submit(self._deliver, notice, way, deliver)
            for way, deliver in self._ways(notice)
        ]
        wait(sent, timeout=_PATIENCE_SECONDS)

    def _deliver(self, notice: Notice, way: str, deliver: Callable[[], None]) -> None:
        try:
            deliver()
        except (httpx2.HTTPError, EgressRefusedError, TimeoutError) as error:
            self._lost(notice, way, error)
        except (smtplib.SMTPException, OSError, MailRefusedError) as error:
            self._lost(notice, way, error)

    def _ways(self, notice: Notice) -> Iterator[tuple[str, Callable[[], None]]]:
        settings = self._settings
        if settings.webhook_url is not None:
            yield "webhook", lambda: self._webhook(notice)
        if settings.chat_url is not None:
            yield "chat", lambda: self._chat(notice)
        if settings.smtp_host and self._receivers(notice):
            yield "mail", lambda: self._mail(notice)

    def _webhook(self, notice: Notice) -> None:
        url, secret = self._settings.webhook_url, self._settings.webhook_secret
        body = notice.model_dump_json().encode()
        signature = None
        if secret is not None:
            digest = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256)
            signature = SIGNATURE_HEADER, f"sha256={digest.hexdigest()}"
        asyncio.run(_post(url.get_secret_value() if url else "", body, signature))

    def _chat(self, notice: Notice) -> None:
        """The form that Slack, Mattermost and their like take, with their three signs escaped."""
        url = self._settings.chat_url
        text = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = json.dumps({"text": text}).encode()
        asyncio.run(_post(url.get_secret_value() if url else "", body, None))

    def _mail(self, notice: Notice) -> None:
        settings = self._settings
        message = EmailMessage()
        message["From"] = settings.email_from
        message["To"] = ", ".join(self._receivers(notice))
        message["Subject"] = notice.subject
        message["Message-ID"] = _message_id(notice, settings.email_from)
        message.set_content(notice.text)
        password = settings.smtp_password
        server = MailServer(
            host=settings.smtp_host,
            port=settings.smtp_port,
            tls=settings.smtp_tls,
            user=settings.smtp_user,
            password=password.get_secret_value() if password else "",
        )
        send_mail(clear_notice(server.host), server, message)

    def _receivers(self, notice: Notice) -> tuple[str, ...]:
        """An escalation also goes to who was not told before."""
        settings = self._settings
        more = settings.email_escalation_to if notice.kind is NoticeKind.ESCALATION else ()
        return (*settings.email_to, *more)

    def _lost(self, notice: Notice, way: str, error: Exception) -> None:
        # The address of a chat webhook is a secret, and an error may quote it.
        _log.warning(
            "notice %s was not sent by %s (%s)", notice.notice_id, way, type(error).__name__
        )


async def _post(url: str, body: bytes, signature: tuple[str, str] | None) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_SECONDS),
        http_client(url, credential=signature) as client,
        single_exchange(clear_notice(url)),
    ):
        headers = {"content-type": "application/json"}
        (await client.post(url, content=body, headers=headers)).raise_for_status()


def _message_id(notice: Notice, sender: str) -> str:
    """The same for the same notice, so that a mail program shows one where two were sent."""
    digest = hashlib.sha256(notice.notice_id.encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2].rstrip('>') or 'pointwork'}>"
