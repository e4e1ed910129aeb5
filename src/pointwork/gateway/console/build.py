"""The console as an application of its own below ``/console``."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from pointwork.contract.failures import PointworkError
from pointwork.gateway.console.access import NotSignedInError, find_signed
from pointwork.gateway.console.assets import serve_asset
from pointwork.gateway.console.audit import router as audit
from pointwork.gateway.console.budget import router as budget
from pointwork.gateway.console.budgets import router as budgets
from pointwork.gateway.console.costs import router as costs
from pointwork.gateway.console.gpu import router as gpu
from pointwork.gateway.console.inbox import router as inbox
from pointwork.gateway.console.incidents import router as incidents
from pointwork.gateway.console.live import Feed
from pointwork.gateway.console.live import router as live
from pointwork.gateway.console.overrides import router as overrides
from pointwork.gateway.console.pages import ConsoleHeaders, page
from pointwork.gateway.console.performance import router as performance
from pointwork.gateway.console.policies import router as policies
from pointwork.gateway.console.policy_change import router as policy_change
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.console.signing_in import router as signing_in
from pointwork.gateway.console.task_pages import router as task_pages
from pointwork.gateway.console.tasks import router as tasks
from pointwork.gateway.console.throttle import Throttle
from pointwork.gateway.problems import ProblemError, problem_of
from pointwork.ledger.console_keys import ConsoleKeys
from pointwork.ledger.identities import Identities

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway


def add_console(app: FastAPI, gateway: "Gateway") -> None:
    """Serve the console below ``/console`` of ``app``."""
    console = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    console.state.gateway = gateway
    console.state.throttle = Throttle()
    console.state.feed = Feed(gateway)
    console.state.console_keys = ConsoleKeys(gateway.approvals, Identities(gateway.engine))
    console.add_exception_handler(NotSignedInError, _to_sign_in)
    for kind in (ProblemError, PointworkError, RequestValidationError, HTTPException):
        console.add_exception_handler(kind, _problem)
    console.add_api_route("/static/{digest}/{name}", serve_asset, methods=["GET"])
    console.add_api_route("/", _first_page, methods=["GET"])
    for each in (
        signing_in,
        live,
        tasks,
        task_pages,
        inbox,
        budgets,
        budget,
        performance,
        gpu,
        costs,
        policies,
        policy_change,
        overrides,
        incidents,
        audit,
    ):
        console.include_router(each)
    # Around all of it, so that an unforeseen error has the headers too.
    app.mount(PATH, ConsoleHeaders(console, lambda: gateway.vault.master_keys))


async def _first_page() -> Response:
    return RedirectResponse(f"{PATH}/tasks", 303)


async def _to_sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotSignedInError)
    if request.url.path.startswith(f"{PATH}/live"):
        return Response(status_code=401)
    return RedirectResponse(error.sign_in_url, 303)


async def _problem(request: Request, error: Exception) -> Response:
    """What went wrong, as a page with the same status the API gives."""
    problem = _known(error)
    if not hasattr(request.state, "signed"):
        request.state.signed = await find_signed(request)
    response = page(request, "problem.html", {"problem": problem}, status=problem.status)
    response.headers.update(problem.headers)
    return response


def _known(error: Exception) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case PointworkError():
            return problem_of(error)
        case HTTPException():
            detail = "there is no such page; the links above lead to those there are"
            return ProblemError(error.status_code, "no_such_page", detail)
        case _:
            detail = "the address or the form is not one the console gives; use its own links"
            return ProblemError(400, "invalid_request", detail)
