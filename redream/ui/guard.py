"""What stands between the network and the page: who may ask, and what a browser may load."""

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from redream.ui.safety import MAX_UPLOAD

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
"""The browser loads nothing from anywhere else, whatever a library's script would like."""
_ROOM = 1 << 20  # bytes of a request beside the file in it


class Guard:
    """Refuses requests that are not the user's own, and bounds them.

    A page of somebody else, open in the same browser, can send requests to this computer; a name of
    theirs can be made to mean this address. So the host that is asked for and the page that asks
    are looked at, and where others can reach the address, a password is asked for.

    Args:
        app: What answers.
        password: The password; None where only this computer can ask.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], password: str | None = None) -> None:
        self.app, self.password = app, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        status, said = self._refusal(scope, headers)
        if status:
            await _answer(send, status, said)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                extra = {
                    b"content-security-policy": POLICY.encode(),
                    b"x-content-type-options": b"nosniff",
                    b"referrer-policy": b"no-referrer",
                }
                more = [(key, value) for key, value in extra.items() if key not in given]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        """Why a request is refused; 0 where it is not."""
        host = headers.get("host", "")
        if self.password is None and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return 421, "this page is for this computer alone: open it as http://127.0.0.1"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "another page has asked for this"
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return 403, "another page has asked for this"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_UPLOAD + _ROOM:
            return 413, f"a file may have {MAX_UPLOAD:,} bytes at most"
        if "/proxy=" in scope["path"]:
            return 404, "there is nothing here"
        if self.password is not None and not self._knows(headers.get("authorization", "")):
            return 401, "a password is asked for"
        return 0, ""

    def _knows(self, authorization: str) -> bool:
        """Whether a request brings the password; the name beside it does not matter."""
        scheme, _, word = authorization.partition(" ")
        try:
            _, _, given = base64.b64decode(word, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        assert self.password is not None
        return scheme.lower() == "basic" and secrets.compare_digest(given, self.password.encode())


async def _answer(send: Send, status: int, said: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="ReDream", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})
