"""eAPI on loopback: JSON-RPC 2.0 over HTTPS with basic authentication, as `management api http-commands` serves it."""

import asyncio
import base64
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tests.world.emulators.https import HttpsServer, cut

Handler = Callable[[list[Any], str, str, Callable[[], None]], list[dict[str, Any]]]
"""(commands, format, user, cut the connection) -> answers; raises EapiError."""


class EapiError(Exception):
    """A request that failed; `data` are the answers up to and with the command that did."""

    def __init__(self, code: int, message: str, data: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.answer = {"code": code, "message": message, "data": data}


class EapiServer(HttpsServer):
    """Passes the commands of each request on, in a thread of its own."""

    def __init__(self, folder: Path, users: Mapping[str, str], handler: Handler) -> None:
        super().__init__(folder, self._app)
        self._users = users
        self._handler = handler

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        user = self._user(request)
        if user is None:
            text = "Unable to authenticate user: Bad username/password combination"
            await PlainTextResponse(text, 401)(scope, receive, send)
            return
        if request.url.path != "/command-api" or request.method != "POST":
            await PlainTextResponse("Not found", 404)(scope, receive, send)
            return
        response = await self._answer(await request.json(), user, send)
        if response is None:
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await response(scope, receive, send)

    async def _answer(self, body: Mapping[str, Any], user: str, send: Send) -> Response | None:
        """None: the connection was cut."""
        loop = asyncio.get_running_loop()
        severed = threading.Event()

        def sever() -> None:
            severed.set()
            loop.call_soon_threadsafe(cut, send)

        parameters = body["params"]
        form = parameters.get("format") or "json"
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": body["id"]}
        try:
            reply["result"] = await asyncio.to_thread(self._handler, parameters["cmds"], form, user, sever)
        except EapiError as error:
            reply["error"] = error.answer
        return None if severed.is_set() else JSONResponse(reply)

    def _user(self, request: Request) -> str | None:
        scheme, _, coded = request.headers.get("authorization", "").partition(" ")
        name, _, password = base64.b64decode(coded).decode().partition(":") if scheme == "Basic" else ("", "", "")
        return name if name in self._users and self._users[name] == password else None
