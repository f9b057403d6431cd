"""What an IOS-XR router makes of configuration lines: its static routes as data, everything else as text.

From Cisco's "Routing Command Reference" (static routes), the YANG model Cisco-IOS-XR-ip-static-cfg and running
configurations of 6.x and 7.x: a next hop is known by prefix, next-hop VRF, interface and address; what is typed again
replaces its attributes; `no` with that key takes it away, `no` of an absent one is silent, `no PREFIX` takes all of
them; host bits are cleared; blocks without content are not shown.

Not seen on a device: that `!` leaves one mode (running configurations can be loaded, so it has to), the order in which
hops of one prefix are shown, and the silence of `no`.
"""

import copy
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Table = tuple[str, str, str]  # VRF, "ipv4" or "ipv6", "unicast" or "multicast"
HopKey = tuple[str, str, str]  # VRF, interface, address; "" where none is written

_INTERFACE = re.compile(r"(Null|[A-Za-z-]*(Ethernet|GigE|Ether|Eth|Loopback|BVI|tunnel-\w+?))\d[\d/.:A-Z]*")
_NUMBERS = {"tag": (1, 4294967295), "metric": (1, 16777214), "vrflabel": (16, 1048575), "tunnel-id": (1, 4294967295)}
_BFD = {"minimum-interval": (10, 10000), "multiplier": (1, 10)}
# The order of Cisco-IOS-XR-um-router-static-cfg.
_SHOWN = ("bfd", "distance", "tag", "permanent", "vrflabel", "tunnel-id", "description", "track", "metric")


class InvalidInput(Exception):
    """The parser does not take a line; the message is what it prints."""

    def __init__(self, line: str) -> None:
        super().__init__(
            f"{line.rstrip()}\n{' ' * (len(line) - len(line.lstrip()))}^\n% Invalid input detected at '^' marker."
        )


@dataclass
class Config:
    """A configuration. `before` and `behind` are the lines around `router static`."""

    before: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    static: dict[Table, dict[Network, dict[HopKey, dict[str, str]]]] = field(default_factory=dict)

    @classmethod
    def booted(cls, text: str) -> "Config":
        """A configuration file as it is printed; lines that begin with "!!" are its header."""
        config = cls()
        static: list[str] = []
        lines = [line for line in text.splitlines() if not line.startswith("!!") and line.strip()]
        head = next((place for place, line in _outside_banners(lines) if line == "router static"), None)
        if head is None:
            routing = (place for place, line in _outside_banners(lines) if line.startswith(("router ", "ssh ", "end")))
            head = next(routing, len(lines))
            config.before, config.behind = lines[:head], lines[head:]
        else:
            end = lines.index("!", head)
            config.before, static, config.behind = lines[:head], lines[head:end], lines[end + 1 :]
        config.enter(static)
        return config

    def copy(self) -> "Config":
        return copy.deepcopy(self)

    def enter(self, lines: list[str]) -> None:
        """Configuration commands, as somebody types them.

        Raises:
            InvalidInput: a line is not taken; those before it are.
        """
        mode: tuple[str, ...] = ()
        for line in lines:
            words = line.split()
            if not words or words == ["end"] or (words[0].startswith("!") and words != ["!"]):
                continue
            if words in (["!"], ["exit"]):
                mode = mode[:-1]
            elif words[:2] == ["router", "static"] and len(words) == 2:
                mode = ("static",)
            elif words[0] in ("interface", "hostname") and len(words) == 2 and "address-family" not in words:
                mode = (line.strip(),) if words[0] == "interface" else ()
                self._keep(line.strip(), None)
            elif mode[:1] == ("static",):
                mode = self._static(line, words, mode)
            elif mode:
                self._keep(mode[0], " " + line.strip())
            else:
                raise InvalidInput(line)

    def lines(self) -> Iterator[str]:
        """The configuration as it is printed, without the header."""
        yield from self.before
        static = list(self._static_lines())
        if static or self.settings:
            yield "router static"
            yield from (f" {setting}" for setting in self.settings)
            yield from static
            yield "!"
        yield from self.behind

    def connected(self, vrf: str) -> list[tuple[Network, str]]:
        """Subnets and names of the interfaces that are up in a VRF."""
        found: list[tuple[Network, str]] = []
        name, inside, addresses = "", "default", list[str]()

        def close() -> None:
            if name and inside == vrf:
                found.extend((ipaddress.ip_interface(address).network, name) for address in addresses)

        for line in [*self.before, *self.behind, "!"]:
            words = line.split()
            if not line.startswith(" "):
                close()
                name, inside, addresses = (words[1] if words[0] == "interface" else ""), "default", []
            elif words[0] == "vrf":
                inside = words[1]
            elif words[:2] == ["ipv4", "address"]:
                addresses.append("/".join(words[2:4]) if len(words) > 3 else words[2])
            elif words[:2] == ["ipv6", "address"]:
                addresses.append(words[2])
        return found

    def _keep(self, head: str, line: str | None) -> None:
        """Puts a line below the head of an interface, in place of one with the same first word."""
        if head not in self.before:
            self.before += [head, "!"] if head.startswith("interface") else [head]
        if line is None:
            return
        place = self.before.index(head) + 1
        while self.before[place] != "!" and self.before[place].split()[0] != line.split()[0]:
            place += 1
        self.before[place : place + (self.before[place] != "!")] = [line]

    def _static(self, line: str, words: list[str], mode: tuple[str, ...]) -> tuple[str, ...]:
        """A line inside of `router static`. One that its mode does not know is tried in those around it."""
        if words[0] == "vrf" and len(words) == 2:
            return ("static", words[1])
        if words[0] == "address-family" and len(words) == 3:
            if words[1] not in ("ipv4", "ipv6") or words[2] not in ("unicast", "multicast"):
                raise InvalidInput(line)
            vrf = mode[1] if len(mode) > 1 and not mode[-1].startswith("address-family") else "default"
            vrf = mode[1] if len(mode) == 3 else vrf
            head = ("static",) if vrf == "default" else ("static", vrf)
            return (*head, f"address-family {words[1]} {words[2]}")
        if words[:2] == ["maximum", "path"] and len(mode) == 1:
            self.settings = [*(kept for kept in self.settings if kept.split()[2] != words[2]), " ".join(words)]
            return mode
        if not mode[-1].startswith("address-family"):
            raise InvalidInput(line)
        _, afi, safi = mode[-1].split()
        self._route(line, words, (mode[1] if len(mode) == 3 else "default", afi, safi))
        return mode

    def _route(self, line: str, words: list[str], table: Table) -> None:
        negated = words[0] == "no"
        rest = words[1:] if negated else list(words)
        try:
            network = ipaddress.ip_network(rest.pop(0), strict=False)
            if (network.version == 4) != (table[1] == "ipv4"):
                raise InvalidInput(line)
            if negated and not rest:
                self.static.get(table, {}).pop(network, None)
                return
            key = _key(rest, network.version)
            attributes = _attributes(rest)
        except (ValueError, IndexError):
            raise InvalidInput(line) from None
        hops = self.static.setdefault(table, {}).setdefault(network, {})
        if negated:
            hops.pop(key, None)
        else:
            hops[key] = attributes
        if not hops:
            del self.static[table][network]

    def _static_lines(self) -> Iterator[str]:
        vrfs = sorted({vrf for vrf, _, _ in self.static}, key=lambda vrf: (vrf != "default", vrf))
        for vrf in vrfs:
            families = [
                (afi, safi, self.static[vrf, afi, safi])
                for afi in ("ipv4", "ipv6")
                for safi in ("unicast", "multicast")
                if self.static.get((vrf, afi, safi))
            ]
            indent = " " if vrf == "default" else "  "
            if families and vrf != "default":
                yield f" vrf {vrf}"
            for afi, safi, table in families:
                yield f"{indent}address-family {afi} {safi}"
                for network in sorted(table, key=lambda item: (int(item.network_address), item.prefixlen)):
                    for key in sorted(table[network], key=_order):
                        yield f"{indent} {network} {hop_text(key, table[network][key])}"
                yield f"{indent}!"
            if families and vrf != "default":
                yield " !"


def _outside_banners(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines with their places, without the text of banners."""
    delimiter = ""
    for place, line in enumerate(lines):
        if delimiter:
            delimiter = "" if delimiter in line else delimiter
        elif line.startswith("banner "):
            delimiter = line.split(None, 2)[2][:2]
            delimiter = "" if delimiter in line.split(None, 2)[2][2:] else delimiter
        else:
            yield place, line


def hop_text(key: HopKey, attributes: dict[str, str]) -> str:
    """A next hop as it is printed behind its prefix."""
    vrf, interface, address = key
    words = [f"vrf {vrf}" if vrf else "", interface, address]
    for name in _SHOWN:
        value = attributes.get(name)
        if value is not None:
            words.append(value if name in ("distance", "bfd", "permanent") else f"{name} {value}")
    return " ".join(word for word in words if word)


def _order(key: HopKey) -> tuple[str, str, int]:
    return key[0], key[1], int(ipaddress.ip_address(key[2])) if key[2] else 0


def _key(rest: list[str], version: int) -> HopKey:
    """Takes VRF, interface and address off the words."""
    vrf = ""
    if rest[0] == "vrf":
        vrf = rest[1]
        del rest[:2]
    interface = address = ""
    if _INTERFACE.fullmatch(rest[0]):
        interface = rest.pop(0)
    if rest and interface != "Null0" and ("." in rest[0] or ":" in rest[0]):
        found = ipaddress.ip_address(rest.pop(0))
        if found.version != version:
            raise ValueError(found)
        address = str(found)
    if not interface and not address:
        raise ValueError(rest)
    return vrf, interface, address


def _attributes(rest: list[str]) -> dict[str, str]:
    """The words behind a next hop, in any order."""
    found: dict[str, str] = {}
    while rest:
        word = rest.pop(0)
        if word.isdigit() and "distance" not in found:
            found["distance"] = _number(word, 1, 254)
        elif word in _NUMBERS:
            found[word] = _number(rest.pop(0), *_NUMBERS[word])
        elif word == "permanent":
            found[word] = word
        elif word == "track":
            found[word] = rest.pop(0)
        elif word == "description":
            found[word] = _description(rest)
        elif word == "bfd" and rest.pop(0) == "fast-detect":
            found["bfd"] = "bfd fast-detect"
            while rest and rest[0] in _BFD:
                name = rest.pop(0)
                found["bfd"] += f" {name} {_number(rest.pop(0), *_BFD[name])}"
        else:
            raise ValueError(word)
    if found.get("distance") == "1":
        del found["distance"]
    return found


def _number(word: str, lowest: int, highest: int) -> str:
    if not word.isdigit() or not lowest <= int(word) <= highest:
        raise ValueError(word)
    return str(int(word))


def _description(rest: list[str]) -> str:
    text = rest.pop(0)
    if text.startswith('"'):
        while not text.endswith('"') or len(text) == 1:
            text += " " + rest.pop(0)
    return text
