"""A Cisco IOS-XR router, behind the XML agent over SSH (`IosXrXml`) and behind NETCONF (`IosXrNetconf`).

From Cisco's "XML API Guide" and "Data Models Configuration Guide". The XML agent does not echo, and answers
configuration lines that it does not take with the parser's text. A NETCONF lock that is refused names its holder's
session, 0 for one that is not NETCONF's (RFC 6241, 7.5).

Not seen on a device: the texts of refused lines over NETCONF, and whether lines in front of an invalid one stay in the
target over XML (here they do).
"""

import ipaddress
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from tests.world.emulators import neighbours
from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.iosxr_config import InvalidInput
from tests.world.emulators.iosxr_device import VERSION, IosXr, Refused, Session
from tests.world.emulators.iosxr_show import Tables, commit_changes_diff
from tests.world.emulators.netconf import BASE, BASE_11, Cut, NetconfServer, RpcError, local_name, rpc_error
from tests.world.emulators.ssh import CliServer, Terminal

_PROMPT = "RP/0/RP0/CPU0:edge1#"
_CLI = "http://cisco.com/ns/yang/Cisco-IOS-XR-cli-cfg"


class IosXrXml(IosXr):
    """Behind `xml agent tty`, as NAPALM's iosxr speaks to it."""

    driver = "iosxr"

    def start(self) -> None:
        self._server = CliServer(self._shell, self.folder)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"alt_host_keys": True, "alt_key_file": str(self._server.known_hosts)}
        return self._host(self._server.port, options)

    async def _shell(self, terminal: Terminal) -> None:
        while (line := await terminal.ask(_PROMPT)) is not None:
            command = line.strip()
            if command:
                self.transcript.append(command)
            if command == "exit":
                return
            if command == "xml" and not await self._agent(terminal):
                return

    async def _agent(self, terminal: Terminal) -> bool:
        """The XML agent's mode; False when the client is gone."""
        session = Session(self, terminal.username, "vty0")
        try:
            request = ""
            while True:
                line = await terminal.ask("" if request else "XML> ", echo=False)
                if line is None:
                    return False
                if line.strip() == "exit" and not request:
                    return True
                request += line + "\n"
                if "</Request>" in request:
                    terminal.write(self._logged(await self._answer(session, request.strip())) + "\n")
                    request = ""
        except Cut:
            terminal.cut()
            return False
        finally:
            session.ended()

    def _logged(self, answer: str) -> str:
        """`terminal monitor`: a log message, which does not wait for the end of an answer of some length."""
        rows = answer.split("\n")
        if self.faults.log and len(rows) > 6:
            rows.insert(len(rows) // 2, self.faults.log)
        return "\n".join(rows)

    async def _answer(self, session: Session, text: str) -> str:
        try:
            request = etree.fromstring(text.encode())
        except etree.XMLSyntaxError:
            return "ERROR: 0xa3675e00 'XML Service Library' detected the 'warning' condition 'An error was encountered in the XML parser.'"
        parts, errors = [], []
        for operation in request:
            body, error = await self._operation(session, operation)
            parts.append(body)
            errors += [error] if error else []
        summary = f'<ResultSummary ErrorCount="{len(errors)}"/>'
        top = f" {errors[0]}" if errors else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Response MajorVersion="1" MinorVersion="0"{top}>{"".join(parts)}{summary}</Response>'
        )

    async def _operation(self, session: Session, operation: etree._Element) -> tuple[str, str]:
        """The element of an answer, and the attributes that say what went wrong."""
        name = str(operation.tag)
        if name == "CLI":
            return self._cli(session, operation), ""
        self.transcript.append(etree.tostring(operation).decode())
        try:
            if name == "Lock":
                self.lock(session)
            elif name == "Unlock":
                self.unlock(session)
            elif name == "Clear":
                session.target = []
            elif name == "Commit":
                await self.commit(session)
                return f'<Commit CommitID="{self.commits}"/>', ""
            else:
                raise Refused(
                    "0xa3679200", "'XML Service Library' detected the 'warning' condition 'unknown operation'"
                )
        except Refused as refused:
            error = f"ErrorCode={quoteattr(refused.code)} ErrorMsg={quoteattr(refused.message)}"
            return f"<{name} {error}/>", error
        return f"<{name}/>", ""

    def _cli(self, session: Session, operation: etree._Element) -> str:
        (inner,) = operation
        text = inner.text or ""
        kind = str(inner.tag)
        if text.startswith("show "):
            self.transcript.append(text)
            answer = "\n" + self.show(text, session) + "\n"
        else:
            self.transcript += [line for line in text.splitlines() if line.strip()]
            answer = ""
            with self.guard:
                try:
                    session.load(text.splitlines(), all_or_none=False)
                except InvalidInput as invalid:
                    answer = f"\n{invalid}\n"
        return f"<CLI><{kind}>{escape(answer)}</{kind}></CLI>"


class IosXrNetconf(IosXr):
    """Behind `netconf-yang agent ssh`, as NAPALM's iosxr_netconf speaks to it."""

    driver = "iosxr_netconf"

    def start(self) -> None:
        capabilities = [
            BASE,
            BASE_11,
            "urn:ietf:params:netconf:capability:candidate:1.0",
            "urn:ietf:params:netconf:capability:rollback-on-error:1.0",
            "urn:ietf:params:netconf:capability:validate:1.1",
            "urn:ietf:params:netconf:capability:confirmed-commit:1.1",
            f"{_CLI}?module=Cisco-IOS-XR-cli-cfg&revision=2020-12-04",
        ]
        self._server = NetconfServer(self.folder, {USERNAME: PASSWORD}, capabilities, self._session)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"alt_key_file": str(self._server.known_hosts), "look_for_keys": False, "allow_agent": False}
        return self._host(self._server.port, options)

    def _session(self, number: int, user: str) -> "NetconfSession":
        return NetconfSession(self, user, number)


class NetconfSession(Session):
    """One NETCONF client."""

    device: IosXrNetconf

    def __init__(self, device: IosXrNetconf, user: str, number: int) -> None:
        super().__init__(device, user, "netconf")
        self.number = number

    async def answer(self, operation: etree._Element) -> str:
        """See `netconf.Session`."""
        name = local_name(operation)
        self.device.transcript.append(name)
        do = getattr(self, "_do_" + name.replace("-", "_"), None)
        if do is None:
            raise RpcError(rpc_error(f"{name} is not supported", tag="operation-not-supported"))
        try:
            return str(await do(operation))
        except Refused as refused:
            holder = self.device.locked_by
            number = holder.number if isinstance(holder, NetconfSession) else 0
            if name == "lock":
                more = f"<error-info><session-id>{number}</session-id></error-info>"
                raise RpcError(rpc_error(refused.message, tag="lock-denied", more=more)) from None
            raise RpcError(rpc_error(refused.message)) from None
        except InvalidInput as invalid:
            raise RpcError(rpc_error(str(invalid), tag="invalid-value")) from None

    async def _do_lock(self, _: etree._Element) -> str:
        self.device.lock(self)
        return "<ok/>"

    async def _do_unlock(self, _: etree._Element) -> str:
        self.device.unlock(self)
        return "<ok/>"

    async def _do_discard_changes(self, _: etree._Element) -> str:
        self.target = []
        return "<ok/>"

    async def _do_edit_config(self, operation: etree._Element) -> str:
        lines = [line for cli in operation.iter(f"{{{_CLI}}}cli") for line in (cli.text or "").splitlines()]
        self.device.transcript += [line for line in lines if line.strip()]
        with self.device.guard:
            self.load(lines, all_or_none=True)
        return self._warning("load")

    async def _do_get_cli_config_diff(self, _: etree._Element) -> str:
        with self.device.guard:
            diff = commit_changes_diff(self.device.config, self.merged(), VERSION)
        return f'<cli-config-diff xmlns="http://cisco.com/ns/yang/Cisco-IOS-XR-cli-diff-act">{escape(diff)}</cli-config-diff>'

    async def _do_commit(self, _: etree._Element) -> str:
        try:
            await self.device.commit(self)
        except Refused as refused:
            if refused.code != "0x41864e00":
                raise
        return self._warning("commit")

    def _warning(self, at: str) -> str:
        """The answer of success: <ok/>, or warnings in its place (RFC 6241, 4.3; not seen on a device)."""
        faults = self.device.faults
        if faults.warning and at in faults.warns_at:
            return rpc_error(faults.warning, severity="warning")
        return "<ok/>"

    async def _do_get_config(self, operation: etree._Element) -> str:
        with self.device.guard:
            if operation.find(".//{*}candidate") is not None:
                text = self.device.text(self.merged())
            else:
                text = self.device.show("show running-config", self)
        return f'<data><cli xmlns="{_CLI}">{escape(text)}</cli></data>'

    async def _do_get(self, operation: etree._Element) -> str:
        """The RIB of a VRF, or one prefix of it: content match nodes for its list keys; or the names of the VRFs.

        Or the FIB of a VRF on a node, or one prefix of it; or the names of the nodes.
        """
        (wanted,) = operation.iterchildren("{*}filter")
        parts = []
        for root in wanted if not self.device.faults.blind else ():
            if local_name(root) == "fib":
                if self.device.faults.fib_hidden:
                    continue
                with self.device.guard:
                    parts.append(self._fib(root))
                continue
            if local_name(root) not in ("rib", "ipv6-rib"):
                with self.device.guard:
                    parts.append(self._neighbours(local_name(root), root.findtext(".//{*}vrf-name") or "default"))
                continue
            if root.find(".//{*}afs") is None:
                names = "".join(f"<vrf><vrf-name>{name}</vrf-name></vrf>" for name in ("default", "red"))
                parts.append(f'<rib xmlns="{root.nsmap[None]}"><vrfs>{names}</vrfs></rib>')
                continue
            afi = "ipv6" if local_name(root) == "ipv6-rib" else "ipv4"
            address, length = root.findtext(".//{*}route/{*}address"), root.findtext(".//{*}route/{*}prefix-length")
            network = ipaddress.ip_network(f"{address}/{length}") if address and length else None
            with self.device.guard:
                tables = Tables(self.device.config, set(self.device.faults.hide), self.device.learned)
                parts.append(tables.rib(root.findtext(".//{*}vrf-name") or "default", afi, network))
        return f"<data>{''.join(parts)}</data>"

    def _neighbours(self, root: str, vrf: str) -> str:
        """The neighbours of every VRF; or the names of the interfaces of one."""
        if root in ("ipv4-network", "ipv6-network"):
            return neighbours.interfaces(root, vrf, (name for _, name in self.device.config.connected(vrf)))
        version = 4 if root == "arp" else 6
        return neighbours.models(
            [entry for vrf in ("default", "red") for entry in self.device.neighbours(vrf, version)], version
        )

    def _fib(self, wanted: etree._Element) -> str:
        faults = self.device.faults
        tables = Tables(self.device.config, set(faults.hide), self.device.learned, set(faults.not_forwarded))
        afi, node = wanted.findtext(".//{*}protocol-name"), wanted.findtext(".//{*}node-name")
        if not afi:
            return tables.fib_nodes()
        entry = wanted.find(".//{*}ip-prefix-brief")
        address, length = (entry.findtext(f"{{*}}{name}") for name in ("prefix", "prefix-length"))
        network = ipaddress.ip_network(f"{address}/{length}") if address and length else None
        return tables.fib(node or "", wanted.findtext(".//{*}vrf-name") or "default", afi, network)
