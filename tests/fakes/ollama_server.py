"""A server that speaks Ollama's API without a model, on a port of loopback."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LOAD_DURATION_NS = 1_500_000_000


def digest_of(model: str) -> str:
    """Of its manifest, as Ollama lists it."""
    return hashlib.sha256(model.encode()).hexdigest()


@dataclass
class FakeOllama:
    """Use as a context manager; ``remote`` are models of its maker's cloud."""

    models: set[str]
    remote: set[str] = field(default_factory=set)
    in_memory: list[str] = field(default_factory=list)
    keeps: set[str] = field(default_factory=set)
    """What it does not unload."""
    answers_as: str | None = None
    """The name its completions carry, where that is not the one asked for."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is written."""

            def do_GET(self) -> None:
                self._send(*owner.told(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/chat/completions":
                    self._stream(owner.answers_as or body["model"])
                else:
                    self._send(*owner.answer(self.path, body))

            def _stream(self, model: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
                choice = {"index": 0, "delta": {"content": "It is."}, "finish_reason": "stop"}
                for more in ({"choices": [choice]}, {"choices": [], "usage": usage}):
                    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0} | more
                    self.wfile.write(f"data: {json.dumps(chunk | {'model': model})}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def _send(self, status: int, body: object) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def told(self, path: str) -> tuple[int, object]:
        match path:
            case "/api/ps":
                loaded = [{"name": each, "digest": digest_of(each)} for each in self.in_memory]
                return 200, {"models": loaded}
            case "/api/version":
                return 200, {"version": "0.13.1"}
            case _:
                return 404, {}

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        self.asked.append((path, body))
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        if name not in self.models | self.remote:
            return 404, {"error": f"model '{name}' not found"}
        match path:
            case "/api/show" if name in self.remote:
                return 200, {
                    "details": {},
                    "remote_host": "https://ollama.com",
                    "remote_model": "m",
                }
            case "/api/show":
                return 200, {"details": {"quantization_level": "Q4_K_M"}}
            case "/api/generate" if body.get("keep_alive") == 0:
                if name in self.in_memory and name not in self.keeps:
                    self.in_memory.remove(name)
                return 200, {"model": name, "done": True, "done_reason": "unload"}
            case "/api/generate":
                self.in_memory.append(name)
                return 200, {"model": name, "done": True, "load_duration": LOAD_DURATION_NS}
            case _:
                return 404, {}
