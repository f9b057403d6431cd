"""Kubernetes label selectors: the grammar and the meaning of apimachinery's `labels.Parse` and `Requirement.Matches`.

    a=b, a==b, a!=b      the label is, or is not, b; a missing label "is not" anything
    a in (x,y)           the label is one of them
    a notin (x,y)        the label is none of them, or missing
    a, !a                the label is there, or not
    a>5, a<5             the label is a whole number above or below

All requirements, separated by commas, must hold; the empty selector matches everything.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

Operator = Literal["exists", "!", "=", "!=", "in", "notin", ">", "<"]

_LEXEME = r"[ \t\r\n]*(?:(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^=!(),<> \t\r\n]+)|\Z)"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_INT64_MAX = 2**63 - 1


class Requirement(msgspec.Struct, frozen=True):
    """One condition. `values` are sorted and unique; none for "exists" and "!", one for "=", "!=", ">" and "<"."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "=" | "in":
                return value in self.values
            case "!=" | "notin":
                return value not in self.values
            case _:
                number = None if value is None else _int64(value)
                bound = int(self.values[0])
                return number is not None and (number > bound if self.operator == ">" else number < bound)

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector(msgspec.Struct, frozen=True):
    """Requirements that must all hold, in the order in which they were written."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Reads a selector.

        Raises:
            ValueError: bad syntax; the message says at which position (1-based) and what was expected.
        """
        return cls(_Parser(text).requirements())

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def explain(self, labels: Mapping[str, str]) -> str | None:
        """The first requirement that does not hold, and what the label is instead; None when all hold."""
        for requirement in self.requirements:
            if not requirement.matches(labels):
                value = labels.get(requirement.key)
                what = "missing" if value is None else repr(value)
                return f"{requirement} does not hold, label {requirement.key} is {what}"
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


class _Token(NamedTuple):
    text: str
    word: bool
    at: int


_END = ""
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    "!=": "!=",
    "in": "in",
    "notin": "notin",
    ">": ">",
    "<": "<",
}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        token = re.compile(_LEXEME)
        position = 0
        while position < len(text):
            found = token.match(text, position)
            if found is None or (group := found.lastgroup) is None:
                break
            self._tokens.append(_Token(found[group], group == "word", found.start(group)))
            position = found.end()
        self._tokens.append(_Token(_END, False, len(text)))
        self._next = 0

    def requirements(self) -> tuple[Requirement, ...]:
        out: list[Requirement] = []
        if self._peek() == _END:
            return ()
        while True:
            out.append(self._requirement())
            token = self._take()
            if token.text == _END:
                return tuple(out)
            if token.text != ",":
                raise self._wrong(token, '"," or the end')

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._take()
        token = self._take()
        if not token.word:
            raise self._wrong(token, "a label key" if negated else 'a label key or "!"')
        key = token.text
        self._check_key(token)
        if negated:
            return Requirement(key, "!")
        if self._peek() in (_END, ","):
            return Requirement(key, "exists")
        token = self._take()
        operator = _OPERATORS.get(token.text)
        if operator is None:
            raise self._wrong(token, 'one of =, ==, !=, in, notin, >, <, "," or the end')
        at = self._tokens[self._next].at
        values = self._set() if operator in ("in", "notin") else (self._value(),)
        if operator in (">", "<") and _int64(values[0]) is None:
            raise self._error(at, f"{operator} compares whole numbers, and {values[0]!r} is none")
        return Requirement(key, operator, values)

    def _value(self) -> str:
        """A value; nothing before a comma or the end is the empty one."""
        if self._peek() in (_END, ","):
            return ""
        token = self._take()
        if not token.word:
            raise self._wrong(token, "a value")
        return self._check_value(token)

    def _set(self) -> tuple[str, ...]:
        token = self._take()
        if token.text != "(":
            raise self._wrong(token, '"("')
        values: set[str] = set()
        if self._peek() == ")":
            values.add("")  # "()" holds the empty value, as in Go
        while True:
            token = self._take()
            if token.word:
                values.add(self._check_value(token))
                if self._peek() not in (",", ")"):
                    raise self._wrong(self._take(), '"," or ")"')
            elif token.text == ",":
                # Nothing before, between or after commas is the empty value.
                if not values or self._peek() in (",", ")"):
                    values.add("")
                if self._peek() == ",":
                    self._take()
                    if self._peek() == ")":
                        raise self._wrong(self._take(), "a value")
            elif token.text == ")":
                return tuple(sorted(values))
            else:
                raise self._wrong(token, '"," or a value')

    def _check_key(self, token: _Token) -> None:
        domain, slash, name = token.text.rpartition("/")
        if slash and (len(domain) > 253 or not re.fullmatch(_DOMAIN, domain)):
            raise self._error(token.at, f"{domain!r} before the slash is no lower-case DNS name")
        if len(name) > 63 or not re.fullmatch(_NAME, name):
            raise self._error(
                token.at, f"{token.text!r} is no label key (at most 63 of A-Z a-z 0-9 - _ ., ends alphanumeric)"
            )

    def _check_value(self, token: _Token) -> str:
        if len(token.text) > 63 or not re.fullmatch(_NAME, token.text):
            raise self._error(
                token.at, f"{token.text!r} is no label value (at most 63 of A-Z a-z 0-9 - _ ., ends alphanumeric)"
            )
        return token.text

    def _peek(self) -> str:
        return self._tokens[self._next].text

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _wrong(self, token: _Token, expected: str) -> ValueError:
        found = "it ends here" if token.text == _END else f"found {token.text!r}"
        return self._error(token.at, f"{found}, expected {expected}")

    def _error(self, at: int, message: str) -> ValueError:
        return ValueError(f"{self._text!r} is no label selector: position {at + 1}: {message}")


def _int64(text: str) -> int | None:
    """The number as Go's ParseInt(text, 10, 64) reads it, None where it fails."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 4000:
        return None
    number = int(text)
    return number if -_INT64_MAX - 1 <= number <= _INT64_MAX else None
