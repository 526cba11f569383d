"""What every answer tells the browser about its safety. Pure ASGI: knows no Streamlit and no page.

Text from outside is escaped where it is drawn; these headers are the second wall. A page may run the scripts of this
server alone, fetches nothing from anywhere else, and cannot be framed by others.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_OFF = (
    "camera",
    "microphone",
    "geolocation",
    "payment",
    "usb",
    "serial",
    "bluetooth",
    "midi",
    "display-capture",
)


def policy(documents: Iterable[str]) -> str:
    """The Content-Security-Policy under which these HTML documents work: their own inline scripts are known by hash.

    Streamlit writes styles into the page as it draws, and loads the code of a component from a blob it made.
    """
    inline = sorted({_hash(script) for document in documents for script in _INLINE.findall(document)})
    directives = {
        "default-src": ["'self'"],
        "script-src": ["'self'", "blob:", *inline],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],  # a picture from elsewhere would tell them who looks
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "worker-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in directives.items())


class SafetyHeaders:
    """Middleware: adds what an answer does not say by itself."""

    def __init__(self, app: App, *, documents: Iterable[str]) -> None:
        self._app = app
        self._headers = [
            (name.lower().encode(), value.encode())
            for name, value in {
                "Content-Security-Policy": policy(documents),
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "same-origin",
                "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _OFF),
                "Cross-Origin-Opener-Policy": "same-origin",
            }.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as before, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = list(message.get("headers", ()))
                names = {bytes(name).lower() for name, _ in said}
                message["headers"] = said + [header for header in self._headers if header[0] not in names]
            await send(message)

        await self._app(scope, receive, told)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
