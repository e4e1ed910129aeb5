"""Sends notices by mail to the one server that an administrator named, with leave of the door."""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from pointwork.contract.addresses import is_house_address
from pointwork.providers.departure import Clearance, Purpose

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MailServer:
    """``tls`` is ``none`` for a server of this house only."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str = ""
    password: str = field(default="", repr=False)


class MailRefusedError(ValueError):
    """Nothing was sent; the text says why and quotes no address."""


def send_mail(clearance: Clearance, server: MailServer, message: EmailMessage) -> None:
    """Hand one message over. It blocks for at most some ten seconds a step.

    Raises:
        MailRefusedError: there is no leave for this server, or it would go out in the clear.
        smtplib.SMTPException, OSError: the server did not take it.
    """
    if (clearance.purpose, clearance.endpoint) != (Purpose.NOTICE, server.host):
        raise MailRefusedError("the door gave no leave for this mail server")
    if server.tls == "none" and not (server.host == "localhost" or is_house_address(server.host)):
        raise MailRefusedError("mail without TLS stays on addresses of this house")
    context = ssl.create_default_context()
    connection = (
        smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_SECONDS, context=context)
        if server.tls == "tls"
        else smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_SECONDS)
    )
    with connection:
        if server.tls == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        connection.send_message(message)
