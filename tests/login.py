"""An OpenID provider of the tests' own: it asks nothing and lets one person in, with signed tokens like a real one's."""

import base64
import json
import secrets
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "moe-dashboard"


class Provider(BaseHTTPRequestHandler):
    """Discovery, authorization, token and keys; `claims` is who comes, `given` every token handed out."""

    key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}, auto_kid=False)
    claims: ClassVar[dict[str, Any]] = {}
    given: ClassVar[list[str]] = []
    nonces: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        """Everything but the token."""
        issuer = f"http://{self.headers['Host']}"
        asked = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(asked.query))
        if asked.path == "/.well-known/openid-configuration":
            self._json({
                "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/keys", "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })  # fmt: skip
        elif asked.path == "/keys":
            self._json({"keys": [self.key.as_dict(private=False)]})
        elif asked.path == "/authorize":
            code = secrets.token_urlsafe(16)
            self.nonces[code] = query.get("nonce", "")
            back = urllib.parse.urlencode({"code": code, "state": query["state"]})
            self.send_response(302)
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """A code for tokens."""
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        now = int(time.time())
        claims = {
            "iss": f"http://{self.headers['Host']}", "aud": CLIENT, "iat": now, "exp": now + 3600,
            "nonce": self.nonces.pop(form["code"]), **self.claims,
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        access = base64.urlsafe_b64encode(secrets.token_bytes(24)).decode()
        self.given.extend([token, access])
        self._json({"access_token": access, "id_token": token, "token_type": "Bearer", "expires_in": 3600})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _json(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
