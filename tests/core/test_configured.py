"""What is configured against what shall be, hop by hop with everything on them."""

import msgspec
import pytest

from k8s_ecmp.core.configured import configured_problems
from k8s_ecmp.model import NextHop
from tests.core.build import p

HOP = NextHop("10.0.0.1", tag=4201, name="prod")
OTHER = NextHop("10.0.0.2", tag=4201, name="prod")
PREFIX = p("10.96.0.0/12")


def test_a_written_default_is_no_difference():
    assert (
        configured_problems({PREFIX: (HOP, msgspec.structs.replace(OTHER, distance=1))}, {PREFIX: (OTHER, HOP)}, 1)
        == {}
    )
    assert configured_problems({}, {PREFIX: ()}, 1) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"distance": 250}, "10.0.0.1 distance 250 tag 4201 name prod"),
        ({"tag": 7}, "10.0.0.1 distance 1 tag 7 name prod"),
        ({"name": "else"}, "10.0.0.1 distance 1 tag 4201 name else"),
        ({"name": None}, "10.0.0.1 distance 1 tag 4201"),
        ({"options": ("track", "7")}, "10.0.0.1 distance 1 tag 4201 name prod track 7"),
    ],
)
def test_everything_that_is_written_counts(change: dict[str, object], words: str):
    found = {PREFIX: (msgspec.structs.replace(HOP, **change), OTHER)}
    assert configured_problems(found, {PREFIX: (HOP, OTHER)}, 1) == {
        PREFIX: f"{PREFIX} is configured as {words} instead of 10.0.0.1 distance 1 tag 4201 name prod"
    }


def test_other_next_hops_are_named_alone():
    assert list(configured_problems({PREFIX: (OTHER,)}, {PREFIX: (HOP, OTHER)}, 1).values()) == [
        f"{PREFIX} is configured as 10.0.0.2 instead of 10.0.0.1, 10.0.0.2"
    ]
    assert list(configured_problems({PREFIX: (HOP,)}, {PREFIX: ()}, 1).values()) == [
        f"{PREFIX} is configured as 10.0.0.1 instead of nothing"
    ]
