"""A small OpenAI-compatible server that answers by a script: oracles are tested over real HTTP, with known answers."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer: text of the model, or with another status the message of an error."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    finish: str = "stop"
    usage: tuple[int, int] | None = (100, 20)
    raw: bytes | None = None  # sent as it is, whatever it is
    hang_up: bool = False  # close the connection without a word


Script = Callable[[dict[str, Any], int], Reply]


def rating(overall: int = 6, zero: str = "none", explanation: str = "Plain.", **aspects: int) -> dict[str, Any]:
    """An answer by the rubric."""
    scores = {name: aspects.get(name, 5) for name in ("readability", "modularity", "clarity", "reusability")}
    return {"explanation": explanation, "zero": zero, **scores, "overall": overall}


def as_json(**values: Any) -> str:
    return json.dumps(rating(**values))


def as_line(**values: Any) -> str:
    answer = rating(**values)
    numbers = " ".join(f"{name}={answer[name]}" for name in list(answer)[2:])
    return f"{answer['explanation']}\nRATING: zero={answer['zero']} {numbers}"


@dataclass
class LlmServer:
    """A running server. `requests` holds the bodies, `times` when they came, `keys` their Authorization headers."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]


@contextlib.contextmanager
def serve(script: Script) -> Iterator[LlmServer]:
    """Serve on a free port of this machine; `script` gets the body of a request and its number, counted from 0."""
    state: LlmServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                number = len(state.requests)
                state.requests.append(body)
                state.times.append(time.monotonic())
                state.keys.append(self.headers.get("Authorization"))
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            try:
                reply = script(body, number)
                time.sleep(reply.delay)
            finally:
                with state.lock:
                    state.at_once -= 1
            self.answer(reply)

        def answer(self, reply: Reply) -> None:
            if reply.hang_up:
                self.close_connection = True
                return
            data = reply.raw if reply.raw is not None else json.dumps(self.body(reply)).encode()
            with contextlib.suppress(ConnectionError):  # a client that timed out is gone
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def body(self, reply: Reply) -> dict[str, Any]:
            if reply.status != 200:
                return {"error": {"message": reply.text, "type": "error"}}
            message = {"role": "assistant", "content": reply.text}
            body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": reply.finish}]}
            if reply.usage is not None:
                prompt, completion = reply.usage
                body["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
            return body

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *args: object) -> None:
            """Clients may go away: that is what some tests are about."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(*args)

    server = Server(("127.0.0.1", 0), Handler)
    state = LlmServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
