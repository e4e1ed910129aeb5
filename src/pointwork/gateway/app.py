"""The HTTP application: one process of it knows nothing that another does not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from pointwork.client import PointworkClient
from pointwork.contract.failures import PointworkError
from pointwork.contract.snapshot import Snapshot
from pointwork.contract.task import TaskRequest
from pointwork.gateway import codec_api, health, messages_api, policies_api, routing_api
from pointwork.gateway.access import Callers
from pointwork.gateway.answering import Starts
from pointwork.gateway.console.build import add_console
from pointwork.gateway.declaring import Defaults
from pointwork.gateway.described import describe
from pointwork.gateway.documents import add_documents
from pointwork.gateway.limits import BodyLimit, CallLimits, Limits
from pointwork.gateway.live_answers import LiveAnswers
from pointwork.gateway.live_answers import router as live_answers
from pointwork.gateway.openai import chat, embeddings, model_names, responses
from pointwork.gateway.problems import ProblemError, problem_of, respond
from pointwork.gateway.shared_rate import SharedRate
from pointwork.gateway.tasks import routes as tasks
from pointwork.gateway.tasks import submitting
from pointwork.gateway.unreadable import invalid, unparsed
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.policies import RevisionStore
from pointwork.ledger.rate_leases import RateLeases
from pointwork.ledger.vault import Vault
from pointwork.policy.active import ActivePolicies
from pointwork.policy.bundle import PolicyLibrary
from pointwork.privacy.codec import EncryptingCodec

ReadSignals = Callable[[TaskRequest], Snapshot | None]
"""The live facts that a decision about a task would read now; None where no pack has its name."""


@dataclass(frozen=True)
class GatewayOptions:
    """What an operator may set."""

    defaults: Defaults = field(default_factory=Defaults)
    wait: timedelta = timedelta(minutes=10)
    """Longest a request stays open for its answer; the task goes on after it."""
    limits: Limits = field(default_factory=Limits)
    shared_requests_a_second: int | None = None
    """Of one key and all replicas together; None leaves it to ``limits``."""
    temporal_ui_url: str = ""
    """The namespace's page in Temporal's UI, which the console links to; empty links nowhere."""


class Gateway:
    """What the routes share. Everything that must survive the process is in ledger and Temporal."""

    def __init__(
        self,
        client: PointworkClient,
        engine: Engine,
        vault: Vault,
        library: PolicyLibrary,
        read_signals: ReadSignals,
        options: GatewayOptions | None = None,
        codec: EncryptingCodec | None = None,
        namespace: str = "default",
    ) -> None:
        self.client = client
        self.engine = engine
        self.vault = vault
        self.library = library
        self.policies = ActivePolicies(library, ActivationLog(engine), RevisionStore(engine))
        self.read_signals = read_signals
        self.options = options or GatewayOptions()
        self.codec = codec
        self.namespace = namespace
        self.outcomes = OutcomeLog(engine)
        self.approvals = ApprovalBook(engine)
        self.listeners = Listeners(engine)
        self.live = LiveAnswers()
        self.starts = Starts(client)
        self.callers = Callers(AccessKeys(engine))
        shared = self.options.shared_requests_a_second
        rate = SharedRate(RateLeases(engine), shared) if shared else None
        self.calls = CallLimits(self.options.limits, shared=rate)


def build_app(gateway: Gateway) -> FastAPI:
    """Every route, with errors in the form of the surface that was asked."""
    app = FastAPI(
        title="Pointwork",
        summary="A durable, governed router for LLM work",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.gateway = gateway
    app.add_middleware(BodyLimit, bytes_max=gateway.options.limits.body_bytes_max)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(PointworkError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.include_router(health.router)
    app.include_router(chat.router, prefix="/v1")
    app.include_router(responses.router, prefix="/v1")
    app.include_router(embeddings.router, prefix="/v1")
    app.include_router(model_names.router, prefix="/v1")
    app.include_router(tasks.router, prefix="/v1")
    app.include_router(submitting.router, prefix="/v1")
    app.include_router(messages_api.router, prefix="/v1")
    app.include_router(routing_api.router)
    app.include_router(policies_api.router)
    app.include_router(codec_api.router)
    app.include_router(live_answers)
    add_console(app, gateway)
    add_documents(app)
    describe(app)
    return app


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return respond(request, error)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PointworkError)
    return respond(request, problem_of(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return respond(request, invalid(request, error))


async def _plain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    unread = unparsed(request, error)
    if unread is not None:
        return respond(request, unread)
    headers = dict(error.headers or {})
    code = {404: "no_such_route", 405: "method_not_allowed"}.get(error.status_code, "refused")
    detail = f"{request.method} {request.url.path}: {error.detail}; see /docs"
    return respond(request, ProblemError(error.status_code, code, detail, headers=headers))
