"""A real S3 service on this machine, spoken to over HTTP, and what can go wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from compute.store.address import StoreAddress, store_address

KEY, SECRET = "QWEXAMPLEKEYOFTESTS", "wJalrXUtnFEMIexampleSecretOfTests"
BUCKET = "quantaweb"


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        return None


@dataclass
class Service:
    """Answers S3 requests; `refuse` makes the next matching ones fail with 503, `seen` notes them all."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    n_refused: int = 0
    port: int = 0
    _left: int = 0
    _method: str = ""
    before: Callable[[str, str], None] = lambda method, path: None

    def __post_init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True, request_handler=_Quiet)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def refuse(self, n: int, method: str = "") -> None:
        """Answer the next requests (of this method) with 503."""
        self._left, self._method, self.n_refused = n, method, 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, prefix: str = "site") -> dict[str, str]:
        return {
            "QW_STORE_URL": f"s3://{BUCKET}/{prefix}",
            "QW_STORE_ENDPOINT": self.endpoint,
            "QW_STORE_KEY": KEY,
            "QW_STORE_SECRET": SECRET,
        }

    def address(self, prefix: str = "site", *, patience: float = 10) -> StoreAddress:
        found = store_address(
            f"s3://{BUCKET}/{prefix}", endpoint=self.endpoint, key=KEY, secret=SECRET, patience=patience
        )
        assert found is not None
        return found

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        self.before(method, path)
        if self._left and self._method in ("", method):
            self._left -= 1
            self.n_refused += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"]
        return self._app(environ, start)
