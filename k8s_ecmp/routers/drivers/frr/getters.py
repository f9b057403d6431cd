"""NAPALM's getters from FRR's answers. Pure: text in, NAPALM's shapes out."""

import json
import re
from typing import Any

from k8s_ecmp.errors import ParseError

_SECRET = re.compile(
    r"^(\s*(?:enable )?password(?: 8)?|.*\bpassword|.*\bmessage-digest-key \d+ md5|.*\bauthentication-key"
    r"|.*\bkey-string|.*\bcommunity)( )\S+.*$",
    re.MULTILINE,
)
_AGE = re.compile(r"(\d+)([ywdhms])")
_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}


def sanitized(text: str) -> str:
    """The configuration with passwords and keys replaced, as NAPALM's `sanitized=True` asks for."""
    return _SECRET.sub(r"\1\2<removed>", text)


def facts(version: str, interfaces: str, uptime: str) -> dict[str, Any]:
    """From `show version`, `show interface brief` and /proc/uptime."""
    match = re.match(r"FRRouting (\S+) \(([^)]*)\)(?: on (.*?)\.?$)?", version, re.MULTILINE)
    if match is None:
        raise ParseError("`show version` does not name FRRouting")
    names = [
        line.split()[0]
        for line in interfaces.splitlines()
        if line.strip() and not line.startswith(("Interface", "---", "  "))
    ]
    return {
        "uptime": float(uptime.split(maxsplit=1)[0]) if uptime.split() else -1.0,
        "vendor": "FRRouting",
        "model": match.group(3) or "",
        "hostname": match.group(2),
        "fqdn": match.group(2),
        "os_version": match.group(1),
        "serial_number": "",
        "interface_list": names,
    }


def routes(answer: str, protocol: str) -> dict[str, list[dict[str, Any]]]:
    """`show ip route ... json` in the shape of NAPALM's `get_route_to`.

    Raises:
        ParseError: the answer is no JSON.
    """
    try:
        table = json.loads(answer or "{}")
    except ValueError as error:
        raise ParseError(f"`show ip route json`: {error}") from None
    wanted = protocol.lower()
    found: dict[str, list[dict[str, Any]]] = {}
    for prefix, entries in table.items():
        for entry in entries:
            if wanted and entry["protocol"].lower() != wanted:
                continue
            found.setdefault(prefix, []).extend(_hop(entry, hop) for hop in entry.get("nexthops", []))
    return found


def _hop(entry: dict[str, Any], hop: dict[str, Any]) -> dict[str, Any]:
    selected = bool(entry.get("selected"))
    return {
        "protocol": entry["protocol"],
        "current_active": selected,
        "last_active": selected,
        "age": _seconds(str(entry.get("uptime", ""))),
        "next_hop": hop.get("ip", ""),
        "outgoing_interface": hop.get("interfaceName", ""),
        "selected_next_hop": bool(hop.get("fib")),
        "preference": int(entry.get("distance", 0)),
        "inactive_reason": "" if selected else "not selected",
        "routing_table": entry.get("vrfName", "default"),
        "protocol_attributes": {},
    }


def _seconds(uptime: str) -> int:
    """Seconds of "00:01:02", "3d04h05m" or "01w2d03h"."""
    if ":" in uptime:
        hours, minutes, seconds = (int(part) for part in uptime.split(":"))
        return hours * 3600 + minutes * 60 + seconds
    return sum(int(number) * _UNITS[unit] for number, unit in _AGE.findall(uptime))
