"""Kinds of values: what is allowed, in words and as a check."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from k8s_ecmp.model import Prefix, address_key, canonical_address
from k8s_ecmp.selector import Selector

YEAR_S = 366 * 86_400
_RESERVED_TAG = 210


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"; an IPv6 address stands in square brackets, port 0 lets the system choose.

    Raises:
        ValueError: any other form.
    """
    host, colon, port = text.rpartition(":")
    good = bool(colon and host) and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if host.startswith("["):
        good = good and host.endswith("]") and _family(host[1:-1]) == 6
        host = host[1:-1]
    elif re.fullmatch(r"[0-9.]+", host):
        good = good and _family(host) == 4
    else:
        good = good and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?", host) is not None
    if not good:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9637 or [::1]:9637")
    return host, int(port)


def _family(address: str) -> int | None:
    try:
        return address_key(address)[0]
    except ValueError:
        return None


def _cidr(text: str) -> str:
    prefix = Prefix.parse(text)
    if "/" not in text:
        raise ValueError(f"{text!r} has no length; for this one address write {prefix}")
    return str(prefix)


def _address(text: str) -> str:
    return canonical_address(text)


def _absolute(text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{text!r} is no absolute path")
    return str(path)


def _selector(text: str) -> str:
    Selector.parse(text)
    return text


def _tag(number: int) -> int:
    if number == _RESERVED_TAG:
        raise ValueError(f"{number} is used by other software to mark its own routes (SONiC, VyOS); choose another tag")
    return number


def _listen(text: str) -> str:
    parse_listen(text)
    return text


def _cron(text: str) -> str:
    from cronsim import CronSim, CronSimError

    if len(text.split()) != 5:
        raise ValueError(
            f"{text!r} is not five cron fields (minute, hour, day, month, weekday), such as '0 22 * * FRI'"
        )
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression: {str(error).lower()}") from error
    except StopIteration:
        raise ValueError(f"{text!r} never comes") from None
    return text


def _time_zone(text: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{text!r} is no time zone of the IANA database, such as UTC or Europe/Berlin") from None
    return text


def path_or(*words: str) -> Meta:
    """A path, absolute once it is loaded, or one of `words`."""
    return Meta(extra={"path": words, "allowed": " or ".join((*words, "a path"))})


Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=0, le=YEAR_S)]
SomeSeconds = Annotated[float, Meta(gt=0, le=YEAR_S)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Cidr = Annotated[str, Meta(extra={"allowed": "a prefix such as 10.96.0.0/12 or fd00::/108", "check": _cidr})]
Address = Annotated[str, Meta(extra={"allowed": "an IPv4 or IPv6 address", "check": _address})]
Asn = Annotated[int, Meta(ge=1, le=4294967294)]
Community = Annotated[
    str,
    Meta(
        extra={
            "pattern": r"\A(\d{1,5}:\d{1,5}|\d{1,10}:\d{1,10}:\d{1,10}|no-export|no-advertise|graceful-shutdown)\Z",
            "allowed": "a community such as 65010:1, 65010:1:2 (large) or no-export",
        }
    ),
]
SelectorText = Annotated[
    str, Meta(extra={"allowed": 'a label selector such as "zone=a,!spot", "" for all', "check": _selector})
]
FilePath = Annotated[str, path_or()]
AbsolutePath = Annotated[str, Meta(extra={"allowed": "an absolute path, or one behind ~/", "check": _absolute})]
Word = Annotated[str, Meta(extra={"pattern": r"\A\S+\Z", "allowed": "one word"})]
DnsLabel = Annotated[
    str,
    Meta(
        extra={
            "pattern": r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z",
            "allowed": "a Kubernetes namespace (a-z, 0-9, -, at most 63)",
        },
    ),
]
DnsName = Annotated[
    str,
    Meta(
        extra={
            "pattern": r"\A(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z",
            "allowed": "a Kubernetes object's name (a-z, 0-9, -, ., at most 253)",
        },
    ),
]
Owner = Annotated[str, Meta(extra={"pattern": r"\A[a-z0-9-]{1,40}\Z", "allowed": "1 to 40 of a-z, 0-9 and -"})]
Tag = Annotated[
    int, Meta(ge=3, le=4294967295, extra={"allowed": "a whole number from 3 to 4294967295 except 210", "check": _tag})
]
Listen = Annotated[str, Meta(extra={"allowed": "HOST:PORT", "check": _listen})]
Cron = Annotated[str, Meta(extra={"allowed": "five cron fields in quotes", "check": _cron})]
TimeZone = Annotated[str, Meta(extra={"allowed": "a time zone such as Europe/Berlin", "check": _time_zone})]
UrlPath = Annotated[str, Meta(extra={"pattern": r"\A/\S*\Z", "allowed": "a path that starts with /"})]
