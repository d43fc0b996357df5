"""An identity provider of our own: knows one person, and keeps to OpenID Connect as far as signing in needs it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class Provider:
    """Serves on 127.0.0.1 until closed; `claims` are what it says of whoever comes next."""

    def __init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                provider.post(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self.claims: dict[str, Any] = {}
        self._codes: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, dict[str, Any]] = {}
        self.refuses = False
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if parts.path == "/.well-known/openid-configuration":
            self._answer(request, self._configuration())
        elif parts.path == "/authorize":
            self._authorize(request, {name: values[0] for name, values in parse_qs(parts.query).items()})
        elif parts.path == "/userinfo":
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self._answer(request, self._tokens.get(token, {}), 200 if token in self._tokens else 401)
        else:
            self._answer(request, {}, 404)

    def post(self, request: BaseHTTPRequestHandler) -> None:
        """The code for a token, once, and only for whoever knows the verifier that the code was asked with."""
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        kept = self._codes.pop(sent.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if kept is None or sent.get("client_secret") != "hush" or kept["challenge"] != challenge.decode().rstrip("="):
            self._answer(request, {"error": "invalid_grant"}, 400)
            return
        token = secrets.token_urlsafe()
        self._tokens[token] = kept["claims"]
        self._answer(request, {"access_token": token, "token_type": "Bearer", "expires_in": 60})

    def _authorize(self, request: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        code = secrets.token_urlsafe()
        self._codes[code] = {"claims": self.claims, "challenge": asked.get("code_challenge", "")}
        answer = {"error": "access_denied"} if self.refuses else {"code": code}
        request.send_response(302)
        request.send_header("Location", f"{asked['redirect_uri']}?{urlencode(answer | {'state': asked['state']})}")
        request.end_headers()

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def _answer(self, request: BaseHTTPRequestHandler, payload: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(payload).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
