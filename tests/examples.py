"""How many examples a property is tried with."""

from typing import Any

from hypothesis import settings


def more_examples(times: int, **others: Any) -> settings:
    """A decorator: `times` as many examples as the profile asks for; `others` are further settings of hypothesis."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=profile.max_examples * times, **others)
