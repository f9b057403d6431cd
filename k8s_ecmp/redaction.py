"""Text without secrets, for what leaves the process: errors, logs, diffs.

Two ways that do not need each other: values that this process was given as secrets are found wherever they stand
(`remember`, `redacted`), and in what routers say whatever follows a word such as `password` is taken out (`sanitized`).
"""

import os
import re
import threading

_HIDDEN = "***"
_PLAIN = re.compile(r"\A(?:.{0,3}|[a-z]{4,11})\Z", re.DOTALL)
"""Values that stand in too many texts by chance, such as `password`; to hide them there would tell what they are."""
_SHORTEST = 4
"""Characters of a plain value that is hidden in what somebody wrote (`redacted_prose`)."""

_VARIABLE = re.compile(r"K8S_ECMP_(?:\w+_)?(?:PASSWORD|ENABLE_SECRET|KEY_PASSPHRASE)")

_LOGINS = (  # each behind words without which it is not looked for: texts may be long
    (("bearer", "basic"), r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", r"\1 ***"),
    (("://",), r"(\w://)[^\s/@'\"]+@", r"\1***@"),
)

# The words of NAPALM's sanitized=True and of RANCID's filters, for all platforms together. What follows one of them
# goes to the end of the line: between word and secret there may stand a kind of hash, and behind it a second secret.
_WORDS = (
    r"[\w-]*(?:password|passphrase|passwd|secret)(?!\w)[\w-]*",
    r"(?:auth\w*|encryption|(?:pre-)?shared|private|session|server|master|md5)-key(?:-\d+)?",
    r"key-string|key|md5|hmac[\w-]*|ascii-text|hexadecimal",
    r"community(?!\s+(?:\[|\d+:\d+|additive))",  # of BGP: those are no secrets
    r"snmp-server\s+(?:host|user)\s+\S+",
    r"(?:auth|priv)\s+(?:md5|sha|des|3des|aes)[\w-]*",
    r"authentication\s+text|nhrp\s+authentication",
)
_PROSE = r"(?:and|authentication|failed|files?|for|in|is|not|of|or|refused|required|was)\b"
_CONFIGURED = rf"(?im)(?<!\w)(?<!\w-)({'|'.join(_WORDS)})(\s*[:=]\s*|\s+)(?=\S)(?!{_PROSE})[^\n]*"
_HASHES = r"\$(?:[1-9y]|14|sha512)\$[^\s\"';]+"
_REMOVED = "<removed>"

_lock = threading.Lock()
_known: set[str] = set()
_plain: frozenset[str] = frozenset()
_shapes: tuple[str, ...] = ()


def remember(*secrets: str | None) -> None:
    """From now on these values are secrets of this process; `redacted` finds them plain, URL-encoded and in base64."""
    global _plain, _shapes  # noqa: PLW0603  what one part of a process was given, every other must not say
    plain = {secret for secret in secrets if secret and len(secret) >= _SHORTEST and _PLAIN.match(secret)}
    new = {secret for secret in secrets if secret and not _PLAIN.match(secret)}
    with _lock:
        _plain |= plain
        new -= _known
        if not new:
            return
        _known.update(new)
        shapes = {shape for secret in new for shape in _forms(secret)}.union(_shapes)
        _shapes = tuple(sorted(shapes, key=len, reverse=True))


def remember_environment() -> None:
    """As `remember`, with the secrets that the environment has for routers, be they asked for or not."""
    remember(*(value for name, value in os.environ.items() if _VARIABLE.fullmatch(name)))


def redacted(text: str) -> str:
    """The text without remembered secrets, logins in URLs and HTTP authorizations, which become `***`."""
    for shape in _shapes:
        text = text.replace(shape, _HIDDEN)
    folded = text.casefold()
    for words, pattern, replacement in _LOGINS:
        if any(word in folded for word in words):
            text = re.sub(pattern, replacement, text)
    return text


def redacted_prose(text: str) -> str:
    """As `redacted`, of what somebody said in words of his own: there remembered values that are plain words go, too.

    Only as whole words, and never in what programs read again, where such a value may be a name by chance.
    """
    text = redacted(text)
    if _plain:
        text = re.sub(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, _plain))})(?![^\W_])", _HIDDEN, text)
    return text


def sanitized(text: str) -> str:
    """Lines of a configuration, or what a router says of them, with `<removed>` for passwords, keys and communities.

    Rather too much than too little is removed; lines of static routes have none of the words.
    """
    # The patterns are compiled, and kept by `re`, when they are first needed: most commands never do.
    return redacted(re.sub(_HASHES, _REMOVED, re.sub(_CONFIGURED, rf"\1\2{_REMOVED}", text)))


def _forms(secret: str) -> set[str]:
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    content = secret.encode()
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    for before in range(3):  # base64 looks different by where in a group of three bytes the secret begins
        coded = b64encode(b"\0" * before + content).decode()
        shared = (0, 3, 2)[(before + len(content)) % 3]  # characters that hold bits of what stands beside the secret
        core = coded[(0, 2, 3)[before] : len(coded) - shared]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if not _PLAIN.match(form)}
