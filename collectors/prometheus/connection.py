"""The way to Prometheus: a session whose every call ends by its deadline and fails in one sentence.

A read timeout of `requests` starts anew with every byte, so a server that drips holds a call for ever; here one
deadline covers looking the name up, connecting, the TLS handshake, sending, the head and the body. A body is read
whole, in one piece, and never believed when it was cut. Redirects are not followed: they cost a round trip each query and may carry credentials elsewhere.
Knows HTTP and nothing of PromQL.
"""

import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_netrc_auth
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Retry, Timeout

from collectors.unavailable import Unavailable

MOST_BYTES = 256 << 20  # some 25 000 series of 400 points; more would take the server down with it
_PREPARED_KEPT = 64  # endpoints; there are about twenty


class TooLarge(OSError):
    """The answer passed MOST_BYTES."""


class _Deadline(io.RawIOBase):
    """A socket's stream that gives each read only what is left of the time the whole answer has."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream, self._sock = stream, sock
        given = sock.gettimeout()  # what urllib3 left for the answer after connecting and sending
        self._ends = None if given is None else time.monotonic() + given
        self._left_bytes = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        count = self._stream.readinto(buffer)
        self._left_bytes -= count or 0
        if self._left_bytes < 0:
            raise TooLarge(f"the answer is larger than {MOST_BYTES >> 20} MiB")
        return cast("int | None", count)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        stream = self.fp.detach()
        self.fp = io.BufferedReader(_Deadline(stream, sock), 1 << 16)


class _Connection(HTTPConnection):
    """Connects within its timeout: looking the name up and all its addresses share it, and the handshake has the rest."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        name, given = self._dns_host, cast("float", self.timeout)
        ends = time.monotonic() + given
        try:
            addresses = _addresses(name, self.port, given)
            for at, address in enumerate(addresses, 1):
                self._dns_host = address
                self.timeout = max(0.001, (ends - time.monotonic()) / (len(addresses) - at + 1))
                try:
                    sock = super()._new_conn()
                    break
                except urllib3.exceptions.ConnectTimeoutError:  # refused is one of these too
                    if at == len(addresses):
                        raise
            sock.settimeout(max(0.001, ends - time.monotonic()))
        except socket.gaierror as why:
            raise urllib3.exceptions.NameResolutionError(name, self, why) from why
        except queue.Empty as why:
            raise urllib3.exceptions.ConnectTimeoutError(self, f"looking up {name} timed out") from why
        finally:
            self._dns_host, self.timeout = name, given
        return sock


class _TlsConnection(_Connection, HTTPSConnection):
    pass


def _addresses(name: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name. The resolver takes no timeout, so it works in a thread that is not waited for.

    Raises:
        socket.gaierror: there are none.
        queue.Empty: not within these seconds.
    """
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return [name]
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            known = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(one[4][0]) for one in known)))
        except (OSError, UnicodeError) as why:  # handed over to whoever waits
            found.put(why)

    threading.Thread(target=look, name="look up a name", daemon=True).start()
    answer = found.get(timeout=seconds)
    if isinstance(answer, UnicodeError):  # no name of a host
        raise socket.gaierror(str(answer)) from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _RotatingToken(requests.auth.AuthBase):
    """A bearer token read from its file for every request, because such files are replaced while we run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as why:
            raise Unavailable(
                f"The bearer token file {self._path} cannot be read ({why}).",
                advice="Check the path and its permissions.",
                kind="credentials",
            ) from why
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class _Token(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token.strip()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Session(requests.Session):
    """A requests session in which nothing hangs, retries in secret, follows a redirect or hands out half a body.

    `request` returns a response whose `.content` is whole and whose `.json()` gives `{"data": {"result": <bytes>}}`,
    so that prometheus-api-client hands the bytes through for our own decoder. Anything but a 200 raises Unavailable.

    Every request goes to one server with the same headers, so what `requests` prepares and merges anew for each
    (URL, headers, .netrc, proxies, CA bundle) is made once. Credentials are always the session's; it keeps no cookies.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        auth: requests.auth.AuthBase | tuple[str, str] | None,
        ca_file: Path | None,
        client_cert: tuple[Path, Path] | None,
        pool: int,
    ) -> None:
        super().__init__()
        self.name = name  # what stands in messages: the URL without its credentials
        found = auth or next(filter(any, (get_auth_from_url(url), get_netrc_auth(url) or ())), None)
        self.auth = requests.auth.HTTPBasicAuth(*found) if isinstance(found, tuple) else found
        self._environment: Any = None
        self._prepared: dict[tuple[str, str], tuple[Any, requests.PreparedRequest]] = {}
        if ca_file is not None:
            self.verify = str(ca_file)
        if client_cert is not None:
            self.cert = (str(client_cert[0]), str(client_cert[1]))
        self._adapter = _Adapter(pool_connections=2, pool_maxsize=pool, max_retries=Retry(0, read=False))
        self.mount_at(url)

    def mount_at(self, url: str) -> None:
        """Put our adapter in front of any other for this URL (prometheus-api-client mounts one of its own there)."""
        self.mount(url, self._adapter)

    def request(  # type: ignore[override]  # narrower on purpose
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        params: Any = None,
        headers: Any = None,
        data: bytes | None = None,
        **_session_wide: object,
    ) -> requests.Response:
        """Send one request; credentials, certificates and the rest that `requests` takes here are the session's own.

        Raises:
            Unavailable: for every way in which no whole 200 answer came back.
        """
        ends = time.monotonic() + timeout
        for attempt in (1, 2):
            try:
                request = self._request(method, url, params, headers, data)
                left = max(0.001, ends - time.monotonic())
                limit: Any = Timeout(total=left, connect=left)  # taken by the adapter, not by its stub
                response = self._adapter.send(request, timeout=limit, **self._environment)
                body = response.raw.read(decode_content=True)
                break
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as why:
                if attempt == 1 and _kept_alive_too_long(why):
                    continue  # the server closed an idle connection as we used it: nothing was asked yet
                raise self._unavailable(why, timeout) from why
        for hook in self.hooks["response"]:
            hook(response)
        response._content = body  # what .content returns from now on
        response.json = lambda **_: {"data": {"result": body}}  # type: ignore[method-assign]  # see the class docstring
        if response.status_code != 200:
            raise self._refusal(response)
        return response

    def _request(
        self, method: str, url: str, params: Any, headers: Any, data: bytes | None
    ) -> requests.PreparedRequest:
        """A request with what is the same for all taken from the first one like it."""
        same = self._prepared.get((method, url))
        if same is None or same[0] != headers:
            made = requests.PreparedRequest()
            merged = CaseInsensitiveDict(self.headers)
            merged.update(headers or {})
            made.prepare(method, url, merged)
            same = (headers, made)
            if len(self._prepared) > _PREPARED_KEPT:
                self._prepared.clear()
            self._prepared[method, url] = same
            if self._environment is None:
                self._environment = self.merge_environment_settings(url, {}, True, self.verify, self.cert)
        request = same[1].copy()
        if params:
            request.url = f"{request.url}?{urlencode(params, doseq=True)}"
        if data is not None:
            request.prepare_body(data, None)
        return self.auth(request) if callable(self.auth) else request

    def _refusal(self, response: requests.Response) -> Unavailable:
        code = response.status_code
        if 300 <= code < 400:
            where = without_credentials(response.headers.get("Location", "nowhere"))
            return Unavailable(
                f"{self.name} redirects to {where}.",
                advice="Set the URL to where the API itself answers; a login page in between needs credentials.",
                kind="redirect",
            )
        return HttpError(self.name, code, response.reason or "", response.content)

    def _unavailable(self, why: BaseException, seconds: float) -> Unavailable:
        causes = list(_causes(why))

        def caused(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        last = causes[-1]
        if caused(TooLarge):
            return Unavailable(
                f"{self.name}: {last}.", advice="Ask for fewer series or a shorter window.", kind="too-large"
            )
        if caused(urllib3.exceptions.NameResolutionError, socket.gaierror):
            host = urlsplit(self.name).hostname
            return Unavailable(
                f"The name {host} cannot be resolved.", advice="Check the URL and the DNS.", kind="dns"
            )
        if caused(requests.exceptions.SSLError, urllib3.exceptions.SSLError) or "TLS" in str(why):
            return Unavailable(
                f"{self.name}: TLS failed ({last}).",
                advice="Check the CA file, the client certificate and the host name.",
                kind="tls",
            )
        if caused(ConnectionRefusedError):
            return Unavailable(
                f"{self.name} refused the connection.",
                advice="Is it running, and is the port right?",
                kind="refused",
            )
        if caused(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
            return Unavailable(
                f"{self.name} did not answer within {seconds:g} s.",
                advice="It is overloaded, or something on the way swallows the connection.",
                kind="timeout",
            )
        if caused(urllib3.exceptions.DecodeError):
            return Unavailable(
                f"{self.name}: its compressed answer is broken ({last}).",
                advice="A proxy on the way may cut or change answers.",
                kind="truncated",
            )
        if caused(
            urllib3.exceptions.ProtocolError, http.client.HTTPException, ConnectionResetError, BrokenPipeError
        ):
            return Unavailable(
                f"{self.name} closed the connection before its answer was whole.",
                advice="It may be restarting, or a proxy on the way cuts answers.",
                kind="truncated",
            )
        if caused(
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
        ):
            return Unavailable(
                f"{self.name!r} is not a usable URL ({why}).", advice="Write http://host:port.", kind="url"
            )
        return Unavailable(f"{self.name} cannot be reached ({last}).", kind="unreachable")


class HttpError(Unavailable):
    """An HTTP status that is not 200; `.body` is what came with it, for whoever can read more out of it."""

    def __init__(self, name: str, code: int, phrase: str, body: bytes) -> None:
        advice = {
            401: "Check the user, password or bearer token.",
            403: "The credentials are known but not allowed to read.",
            404: "Is the path prefix of the URL right?",
            503: "It is starting, stopping or overloaded.",
        }.get(code, "")
        super().__init__(f"{name} answered {code} {phrase}.", advice=advice, kind=f"http-{code}")
        self.code, self.body = code, body


def without_credentials(url: str) -> str:
    """The URL as it may be shown: without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def bearer(token: str | None, file: Path | None) -> requests.auth.AuthBase | None:
    """Authentication by a token, or by a file that holds one and may be replaced at any time."""
    if file is not None:
        return _RotatingToken(file)
    return None if token is None else _Token(token)


def _causes(why: BaseException) -> list[BaseException]:
    """The exception and everything it was made from, outermost first."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [why]
    while waiting:
        cause = waiting.pop(0)
        if cause in found:
            continue
        found.append(cause)
        inner = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        waiting += [item for item in inner if isinstance(item, BaseException)]
    return found


def _kept_alive_too_long(why: BaseException) -> bool:
    return any(isinstance(cause, http.client.RemoteDisconnected | BrokenPipeError) for cause in _causes(why))
