"""What the gateway's tests share: accounts with keys, and tasks known by the key they were sent."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from openai import AsyncOpenAI

from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.gateway.app import Gateway
from pointwork.gateway.declaring import task_id_of
from pointwork.ledger.access_keys import AccessKeys
from tests.fakes.scripted_provider import Step
from tests.workflows.people import introduce
from tests.workflows.stack import Stack

Clients = Callable[..., AsyncOpenAI]
"""Makes OpenAI clients: of an account, and with ``max_retries``, where they are given."""


@dataclass(frozen=True)
class Account:
    """Somebody with a key to the API."""

    identity: Identity
    token: str

    @property
    def name(self) -> str:
        return self.identity.name

    def headers(self, **more: str) -> dict[str, str]:
        """``idempotency_key=…`` becomes ``idempotency-key``."""
        given = {name.replace("_", "-"): value for name, value in more.items()}
        return {"authorization": f"Bearer {self.token}"} | given


@dataclass(frozen=True)
class House:
    stack: Stack
    gateway: Gateway
    url: str
    opened_at: datetime

    @property
    def api(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    def account(
        self, *roles: Role, kind: IdentityKind = IdentityKind.SERVICE, **known: Any
    ) -> Account:
        """A new account and a key of it; a service that submits, unless said otherwise."""
        name = known.pop("name", f"account-{uuid4().hex[:8]}")
        given = roles or (Role.SUBMITTER,)
        identity = introduce(self.stack, name, kind=kind, roles=given, **known)
        token = AccessKeys(self.stack.parts.engine).create(name, "owner", datetime.now(UTC))
        return Account(identity, token)

    def person(self, *roles: Role, **known: Any) -> Account:
        return self.account(*roles, kind=IdentityKind.PERSON, **known)

    def scripted(self, account: Account, *steps: Step) -> tuple[str, str]:
        """An idempotency key whose task meets ``steps``, and that task's id."""
        key = uuid4().hex
        task_id = task_id_of(account.name, key)
        self.stack.script.write(task_id, *steps)
        return key, task_id
