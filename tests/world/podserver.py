"""What runs in a pod: TCP servers that say who answered and whom they see, or a DNS server.

    podserver.py IDENTITY ROLE:PORT ...

IDENTITY is a JSON object that every answer repeats, with the client's address added as "peer". Roles: `http` answers a
request with that JSON; `greet` sends it as one line when a client connects, as MySQL greets first; `dns` answers for the
zone in IDENTITY's "zone" (name -> addresses) and for TXT `whoami.` of the zone's apex "origin"; `forward` is a company's
DNS server that passes the zone "origin" on to IDENTITY's "resolver". Prints "ready" when every port listens.
"""

import contextlib
import json
import selectors
import socket
import sys
from collections.abc import Callable
from typing import Any

Identity = dict[str, Any]


def main() -> None:
    identity: Identity = json.loads(sys.argv[1])
    selector = selectors.DefaultSelector()
    for argument in sys.argv[2:]:
        role, _, port = argument.partition(":")
        if role in {"dns", "forward"}:
            _start_dns(role, int(port), identity)
        else:
            _listen(selector, role, int(port), identity)
    print("ready", flush=True)
    while True:
        if not selector.get_map():
            selector.select(3600)
        for key, _ in selector.select():
            key.data(key.fileobj)


def _listen(selector: selectors.BaseSelector, role: str, port: int, identity: Identity) -> None:
    server = socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
    server.setblocking(False)

    def accept(listener: socket.socket) -> None:
        connection, peer = listener.accept()
        connection.setblocking(False)
        answer = json.dumps({**identity, "peer": _address(peer[0])}) + "\n"
        if role == "greet":
            with contextlib.suppress(OSError):
                connection.sendall(answer.encode())
            connection.close()
        else:
            selector.register(connection, selectors.EVENT_READ, _http_reply(selector, answer))

    selector.register(server, selectors.EVENT_READ, accept)


def _http_reply(selector: selectors.BaseSelector, body: str) -> Callable[[socket.socket], None]:
    """Answers whatever arrives first; requests here fit one segment."""
    head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    def reply(connection: socket.socket) -> None:
        selector.unregister(connection)
        with contextlib.suppress(OSError):
            if connection.recv(65536):
                connection.sendall((head + body).encode())
        connection.close()

    return reply


def _start_dns(role: str, port: int, identity: Identity) -> None:
    from dnslib.server import DNSLogger, DNSServer

    resolver = _zone(identity) if role == "dns" else _forwarder(identity)
    quiet = DNSLogger("-request,-reply,-truncated,-error", prefix=False)
    for tcp in (False, True):
        DNSServer(resolver, address="::", port=port, tcp=tcp, logger=quiet).start_thread()


def _zone(identity: Identity) -> Any:
    from dnslib import AAAA, QTYPE, RCODE, RR, TXT, A
    from dnslib.server import BaseResolver

    records: dict[str, list[str]] = identity["zone"]
    whoami = f"whoami.{identity['origin']}."

    class Zone(BaseResolver):
        def resolve(self, request: Any, handler: Any) -> Any:
            reply = request.reply()
            name, kind = str(request.q.qname), QTYPE[request.q.qtype]
            if name.lower() == whoami:
                text = json.dumps({"pod": identity["pod"], "peer": _address(handler.client_address[0])})
                reply.add_answer(RR(name, QTYPE.TXT, ttl=0, rdata=TXT(text)))
            elif (addresses := records.get(name.lower().rstrip("."))) is None:
                reply.header.rcode = RCODE.NXDOMAIN
            else:
                for address in addresses:
                    if kind == "AAAA" and ":" in address:
                        reply.add_answer(RR(name, QTYPE.AAAA, ttl=5, rdata=AAAA(address)))
                    elif kind == "A" and ":" not in address:
                        reply.add_answer(RR(name, QTYPE.A, ttl=5, rdata=A(address)))
            return reply

    return Zone()


def _forwarder(identity: Identity) -> Any:
    from dnslib import RCODE
    from dnslib.proxy import ProxyResolver
    from dnslib.server import BaseResolver

    delegated = ProxyResolver(identity["resolver"], 53, timeout=25)

    class Company(BaseResolver):
        def resolve(self, request: Any, handler: Any) -> Any:
            if request.q.qname.matchSuffix(identity["origin"]):
                return delegated.resolve(request, handler)
            reply = request.reply()
            reply.header.rcode = RCODE.REFUSED
            return reply

    return Company()


def _address(text: str) -> str:
    return text.removeprefix("::ffff:")


if __name__ == "__main__":
    main()
