"""A person in front of the console, without a browser: cookies, forms, and what a page says."""

from html.parser import HTMLParser
from typing import Self

import httpx2

from pointwork.gateway.app import Gateway, build_app
from tests.integration.gateway.house import Account

ORIGIN = "http://console.test"


class _Page(HTMLParser):
    """The text a reader sees, and the fields of every form by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = self.forms.setdefault(given.get("action", ""), {})
        elif tag == "input" and given.get("type") == "hidden":
            self._form[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Visitor:
    """One browser's worth of cookies, at one replica of the gateway."""

    def __init__(self, gateway: Gateway, address: str = "192.0.2.1") -> None:
        self.gateway = gateway
        transport = httpx2.ASGITransport(app=build_app(gateway), client=(address, 50000))
        self.http = httpx2.AsyncClient(transport=transport, base_url=ORIGIN)

    def at_another(self, gateway: Gateway) -> Self:
        """The same cookies, at another replica."""
        other = type(self)(gateway)
        other.http.cookies.update(self.http.cookies)
        return other

    async def get(self, path: str) -> httpx2.Response:
        return await self.http.get(f"/console{path}")

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        headers = {"origin": ORIGIN}
        return await self.http.post(f"/console{path}", data=fields, headers=headers)

    async def sign_in(self, account: Account) -> httpx2.Response:
        """Show the account's key on the sign-in page."""
        return await self.try_key(account.token)

    async def try_key(self, token: str) -> httpx2.Response:
        fields = forms(await self.get("/sign-in"))["/console/sign-in"]
        return await self.post("/sign-in", **(fields | {"key": token}))

    async def csrf(self) -> str:
        """The token that every form of this session carries."""
        return forms(await self.get("/inbox"))["/console/sign-out"]["csrf"]

    async def act(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of this session."""
        return await self.post(path, csrf=await self.csrf(), **fields)

    async def decide(
        self, task_id: str, verdict: str, reason: str = "Looked at it and agree.", **spoiled: str
    ) -> httpx2.Response:
        """Fill in the form of the approval that stands open, and press a button."""
        shown = forms(await self.get(f"/inbox/{task_id}"))[f"/console/inbox/{task_id}"]
        fields = shown | {"verdict": verdict, "reason": reason} | spoiled
        return await self.post(f"/inbox/{task_id}", **fields)


def forms(response: httpx2.Response) -> dict[str, dict[str, str]]:
    page = _Page()
    page.feed(response.text)
    return page.forms


def words(response: httpx2.Response) -> str:
    """What a reader sees, with single spaces."""
    page = _Page()
    page.feed(response.text)
    return " ".join(" ".join(page.words).split())
