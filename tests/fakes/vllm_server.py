"""A program that speaks vLLM's endpoints without a model: it is started, killed and asked for real.

``python vllm_server.py FOLDER SOURCE [the arguments of vllm serve]``. ``FOLDER`` stands for the
card: what is in its memory, what happened on it, and how each model's server is to misbehave
(``Behaviour``). Two models in memory at once is an error there as on a card.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROGRAM = Path(__file__)
OUT_OF_MEMORY = 17
ANSWER = ("It ", "is ", "so.")
GARBAGE = ("%% ", "## ", "??")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What goes wrong with one model's server; nothing by default."""

    ends: int | None = None
    """Exit status at start, before it answers."""
    is_mute: bool = False
    """It starts and never listens."""
    serves: str | None = None
    """A model name other than the one it was started for."""
    answers_as: str | None = None
    """The name its completions carry, where that is another."""
    has_sleep_mode: bool = True
    lost_sleeps: int = 0
    lost_wakes: int = 0
    """So many calls are answered with 200 and do nothing."""
    lag_asks: int = 0
    """So often /is_sleeping still says the old after a call."""
    ignores_mode: bool = False
    """As older builds: /sleep aborts whatever runs."""
    holds_reload: bool = False
    """Weights are read again only after a POST to /release."""
    needs_whole_card: bool = False
    """It does not start beside another server, awake or asleep."""
    has_engine: bool = False
    """A process of its own, in a session of its own, beside the HTTP server."""


class Card:
    """The folder as tests and servers see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "memory").mkdir(parents=True, exist_ok=True)
        (folder / "servers").mkdir(exist_ok=True)

    def misbehave(self, model: str, behaviour: Behaviour) -> None:
        self._file("behaviour", model).write_text(json.dumps(asdict(behaviour)))

    def behaviour(self, model: str) -> Behaviour:
        file = self._file("behaviour", model)
        return Behaviour(**json.loads(file.read_text())) if file.exists() else Behaviour()

    def note(self, event: str, model: str, **more: Any) -> None:
        with self._locked():
            self._note(event, model, more)

    def events(self, model: str | None = None) -> list[str]:
        """What happened, as ``model event``; of one model as ``event``."""
        return [
            f"{each['model']} {each['event']}" if model is None else each["event"]
            for each in self.log()
            if model in {None, each["model"]}
        ]

    def log(self) -> list[dict[str, Any]]:
        file = self.folder / "events.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def last(self, event: str, model: str) -> dict[str, Any]:
        return [each for each in self.log() if (each["event"], each["model"]) == (event, model)][-1]

    def in_memory(self) -> list[str]:
        """Models in the card's memory, of servers that live."""
        with self._locked():
            return [model for _, model in self._living("memory")]

    def take(self, model: str, event: str) -> bool:
        """Whether there was room; what asked for too much is to end."""
        with self._locked():
            others = [found for pid, found in self._living("memory") if pid != os.getpid()]
            if others:
                self._note("out of memory", model, {"beside": others})
                return False
            (self.folder / "memory" / str(os.getpid())).write_text(model)
            self._note(event, model, {})
            return True

    def give_back(self, model: str, level: int) -> None:
        with self._locked():
            (self.folder / "memory" / str(os.getpid())).unlink(missing_ok=True)
            self._note("asleep", model, {"level": level})

    def enter(self, model: str, **more: Any) -> list[str]:
        """Note a server's start; returns the other servers that live."""
        with self._locked():
            others = [found for pid, found in self._living("servers") if pid != os.getpid()]
            (self.folder / "servers" / str(os.getpid())).write_text(model)
            self._note("started", model, {"pid": os.getpid(), **more})
            return others

    def _living(self, kind: str) -> list[tuple[int, str]]:
        found = []
        for file in (self.folder / kind).iterdir():
            if Path(f"/proc/{file.name}").exists():
                found.append((int(file.name), file.read_text()))
            else:
                file.unlink()
        return found

    def _note(self, event: str, model: str, more: dict[str, Any]) -> None:
        with (self.folder / "events.jsonl").open("a") as log:
            log.write(json.dumps({"event": event, "model": model, **more}) + "\n")

    def _file(self, kind: str, model: str) -> Path:
        return self.folder / f"{model}.{kind}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass
class Engine:
    """The state behind one server."""

    card: Card
    model: str
    behaviour: Behaviour
    has_endpoints: bool
    can_sleep: bool
    api_key: str
    asleep: set[str] = field(default_factory=set)
    """Memory tags that are put away."""
    level: int = 0
    has_weights: bool = True
    running: int = 0
    lost_sleeps: int = 0
    lost_wakes: int = 0
    stale_answers: list[bool] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    generation: int = 0
    """Goes up with every abort."""
    is_released: bool = False

    def sleep(self, level: int, mode: str) -> None:
        if self.lost_sleeps < self.behaviour.lost_sleeps:
            self.lost_sleeps += 1
            return
        with self.changed:
            if mode == "wait" and not self.behaviour.ignores_mode:
                self.changed.wait_for(lambda: self.running == 0)
            elif self.running:
                self.card.note("aborted", self.model, requests=self.running)
                self.generation += 1
                self.changed.notify_all()
            if self.asleep:
                return  # As builds before tags: also where only a part of it sleeps.
            self.stale_answers = [bool(self.asleep)] * self.behaviour.lag_asks
            self.asleep, self.level = {"weights", "kv_cache"}, level
            self.has_weights = level == 1
            self.card.give_back(self.model, level)

    def wake(self, tags: list[str]) -> None:
        if self.lost_wakes < self.behaviour.lost_wakes:
            self.lost_wakes += 1
            return
        with self.changed:
            event = f"awake {'+'.join(tags)}" if tags else "awake"
            if not self.card.take(self.model, event):
                os._exit(OUT_OF_MEMORY)
            self.stale_answers = [bool(self.asleep)] * self.behaviour.lag_asks
            self.asleep -= set(tags) or {"weights", "kv_cache"}

    def call(self, method: str) -> None:
        with self.changed:
            self.card.note(method, self.model)
            if self.behaviour.holds_reload and method == "reload_weights":
                self.changed.wait_for(lambda: self.is_released)
            if method == "reload_weights" and "weights" not in self.asleep:
                self.has_weights = True

    def is_sleeping(self) -> bool:
        with self.changed:
            return self.stale_answers.pop() if self.stale_answers else bool(self.asleep)

    def release(self) -> None:
        with self.changed:
            self.is_released = True
            self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    engine: Engine

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are told of as old builds do, prompt and all, in ``_chat``."""

    def do_GET(self) -> None:
        engine, path = self.engine, urlsplit(self.path).path
        match path:
            case "/health":
                self._send(200)
            case "/version":
                self._send(200, {"version": "0.32.0"})
            case "/metrics":
                self._send(200, _metrics(engine.model, engine.running))
            case "/is_sleeping" if engine.has_endpoints:
                self._send(200, {"is_sleeping": engine.is_sleeping()})
            case "/v1/models" if self._is_allowed():
                name = engine.behaviour.serves or engine.model
                self._send(200, {"object": "list", "data": [{"id": name, "object": "model"}]})
            case "/v1/models":
                self._send(401, {"error": "Unauthorized"})
            case _:
                self._send(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        engine, url = self.engine, urlsplit(self.path)
        asked = parse_qs(url.query)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        match url.path:
            case "/v1/chat/completions" if self._is_allowed():
                self._chat(json.loads(body))
            case "/v1/chat/completions":
                self._send(401, {"error": "Unauthorized"})
            case "/release":
                engine.release()
                self._send(200)
            case "/sleep" | "/wake_up" if engine.has_endpoints and not engine.can_sleep:
                self._send(500, {"error": "sleep mode is not enabled"})
            case "/sleep" if engine.has_endpoints:
                engine.sleep(int(asked.get("level", ["1"])[0]), asked.get("mode", ["abort"])[0])
                self._send(200)
            case "/wake_up" if engine.has_endpoints:
                engine.wake(asked.get("tags", []))
                self._send(200)
            case "/collective_rpc" if engine.has_endpoints:
                engine.call(json.loads(body)["method"])
                self._send(200, {"results": [None]})
            case "/reset_prefix_cache" if engine.has_endpoints:
                engine.call("reset_prefix_cache")
                self._send(200)
            case _:
                self._send(404, {"detail": "Not Found"})

    def _is_allowed(self) -> bool:
        key = self.engine.api_key
        return not key or self.headers.get("Authorization") == f"Bearer {key}"

    def _send(self, status: int, body: object = None) -> None:
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _chat(self, request: dict[str, Any]) -> None:
        engine = self.engine
        prompt = json.dumps(request["messages"])
        sys.stdout.write(f"Received request: prompt: {prompt}\n")
        sys.stdout.flush()
        if request["model"] != (engine.behaviour.serves or engine.model):
            self._send(404, {"error": {"message": "The model does not exist.", "code": 404}})
            return
        with engine.changed:
            if engine.asleep:
                self._send(500, {"error": {"message": "the engine sleeps", "code": 500}})
                return
            engine.running += 1
            generation = engine.generation
        try:
            self._stream(request, prompt, generation)
        finally:
            with engine.changed:
                engine.running -= 1
                engine.changed.notify_all()

    def _stream(self, request: dict[str, Any], prompt: str, generation: int) -> None:
        engine = self.engine
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        pieces = ANSWER if engine.has_weights else GARBAGE
        self._event(request, {"choices": [_choice(pieces[0])]})
        finish = "stop"
        if "hold" in prompt:
            with engine.changed:
                engine.changed.wait_for(
                    lambda: engine.is_released or engine.generation != generation
                )
                finish = "stop" if engine.is_released else "abort"
        for piece in pieces[1:]:
            self._event(request, {"choices": [_choice(piece)]})
        self._event(request, {"choices": [_choice("", finish)]})
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(pieces)}
        usage["total_tokens"] = sum(usage.values())
        self._event(request, {"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, request: dict[str, Any], more: dict[str, Any]) -> None:
        name = self.engine.behaviour.answers_as or request["model"]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": name, **more}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()


def _choice(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": finish}


def _metrics(model: str, running: int) -> str:
    label = f'{{engine="0",model_name="{model}"}}'
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{label} {float(running)}\n"
        "# TYPE vllm:num_requests_waiting gauge\n"
        f"vllm:num_requests_waiting{label} 0.0\n"
    )


def _environment() -> dict[str, str]:
    entries = Path("/proc/self/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("source")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    arguments, _ = parser.parse_known_args()
    card, model = Card(arguments.folder), arguments.served_model_name
    behaviour, environment = card.behaviour(model), _environment()
    others = card.enter(model, arguments=sys.argv[2:], environment=environment)
    sys.stdout.write(f"vLLM API server, model {arguments.source}\n")
    sys.stdout.flush()
    if behaviour.ends is not None:
        sys.exit(behaviour.ends)
    if (behaviour.needs_whole_card and others) or not card.take(model, "loaded"):
        sys.exit(OUT_OF_MEMORY)
    if behaviour.has_engine:
        engine = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
        )
        card.note("engine", model, pid=engine.pid)
    if behaviour.is_mute:
        threading.Event().wait()
    Handler.engine = Engine(
        card=card,
        model=model,
        behaviour=behaviour,
        has_endpoints=behaviour.has_sleep_mode and environment.get("VLLM_SERVER_DEV_MODE") == "1",
        can_sleep=arguments.enable_sleep_mode,
        api_key=environment.get("VLLM_API_KEY", ""),
    )
    ThreadingHTTPServer((arguments.host, arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
