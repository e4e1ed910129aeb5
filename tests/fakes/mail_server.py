"""A mail server on this machine's loopback that speaks SMTP as far as a client needs it."""

import asyncio
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage

_REPLIES = {"MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n", "RSET": b"250 ok\r\n"}


@dataclass
class MailBox:
    """What was delivered, and to whom."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    refuses: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        while line := await reader.readline():
            word, _, rest = line.decode().strip().partition(" ")
            match word.upper():
                case "EHLO" | "HELO":
                    writer.write(b"250 mail.test\r\n")
                case "RCPT" if self.refuses:
                    writer.write(b"550 nobody here has that name\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    self._take(await reader.readuntil(b"\r\n.\r\n"))
                    writer.write(b"250 taken\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case known if known in _REPLIES:
                    self.receivers += [rest.partition(":")[2]] if known == "RCPT" else []
                    writer.write(_REPLIES[known])
                case _:
                    writer.write(b"502 not known\r\n")
            await writer.drain()
        writer.close()

    def _take(self, data: bytes) -> None:
        parsed = message_from_bytes(data.removesuffix(b".\r\n"), policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailBox]:
    box = MailBox()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    async with server:
        yield box
