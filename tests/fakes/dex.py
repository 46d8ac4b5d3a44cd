"""A Kubeflow gateway in front of a KFP server: strangers are sent to Dex, a session cookie lets through."""

import dataclasses
import urllib.parse

from tests.fakes.kfp_server import KfpServer
from tests.fakes.loopback import Request

_SESSION = "oauth2_proxy_kubeflow=session-1"
_LOGIN_PAGE = b"<form method=post><input name=login><input name=password type=password></form>"
Response = tuple[int, bytes, dict[str, str]]


@dataclasses.dataclass
class DexGateway(KfpServer):
    """Dex with static passwords, behind oauth2-proxy, before Kubeflow Pipelines."""

    users: dict[str, str] = dataclasses.field(default_factory=dict)

    def respond(self, request: Request) -> Response:
        if request.path.startswith(("/dex/", "/oauth2/")):
            return self._log_in(request)
        if _SESSION in request.headers.get("cookie", ""):
            return (200, b"home", {}) if request.path == "/" else super().respond(request)
        return 302, b"", {"Location": "/dex/auth?client_id=kubeflow&state=abc"}

    def _log_in(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/dex/auth":
                return 200, b"<a href=/dex/auth/local>Log in with e-mail</a>", {}
            case "GET", "/dex/auth/local":
                return 302, b"", {"Location": "/dex/auth/local/login?state=xyz"}
            case "GET", "/dex/auth/local/login":
                return 200, _LOGIN_PAGE, {}
            case "POST", "/dex/auth/local/login":
                form = dict(urllib.parse.parse_qsl(request.body.decode()))
                if self.users.get(form["login"]) != form["password"]:
                    return 200, _LOGIN_PAGE, {}  # as Dex does: the form again, with a red line
                return 303, b"", {"Location": "/oauth2/callback?code=1"}
            case "GET", "/oauth2/callback":
                return 302, b"", {"Location": "/", "Set-Cookie": f"{_SESSION}; Path=/; HttpOnly"}
        return 404, b"", {}
