"""kured's annotation in both forms."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.kube.drain_signals import REASON, Locks, read_locks

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE_NS = 60 * 10**9


def lock(node: str, *, age_min: float = 1, ttl_min: float = 0) -> dict[str, object]:
    created = (NOW - timedelta(minutes=age_min)).isoformat().replace("+00:00", "Z")
    return {"nodeID": node, "metadata": {"unschedulable": False}, "created": created, "TTL": int(ttl_min * MINUTE_NS)}


def read(document: object) -> Locks:
    return read_locks(json.dumps(document), NOW)


def test_none() -> None:
    assert read_locks(None, NOW) == read_locks("", NOW) == read({}) == Locks({})


def test_one() -> None:
    assert read(lock("n1")) == Locks({"n1": REASON})


def test_several() -> None:
    assert read({"maxOwners": 2, "locks": [lock("n1"), lock("n2")]}) == Locks({"n1": REASON, "n2": REASON})
    assert read({"maxOwners": 2, "locks": []}) == Locks({})


def test_nobody_holds_it() -> None:
    assert read(lock("")) == Locks({})


def test_time_to_live() -> None:
    assert read(lock("n1", age_min=10, ttl_min=9)) == Locks({})
    assert read(lock("n1", age_min=10, ttl_min=10)) == Locks({})
    assert read(lock("n1", age_min=10, ttl_min=11)) == Locks({"n1": REASON}, NOW + timedelta(minutes=1))
    both = {"maxOwners": 2, "locks": [lock("n1", ttl_min=9), lock("n2", ttl_min=5), lock("n3", age_min=9, ttl_min=5)]}
    assert read(both) == Locks({"n1": REASON, "n2": REASON}, NOW + timedelta(minutes=4))


def test_as_kured_writes_it() -> None:
    """Go writes nanoseconds and the time zone of the node."""
    text = '{"nodeID":"n1","metadata":{"unschedulable":true},"created":"2026-03-01T13:59:30.123456789+02:00","TTL":1800000000000}'
    locks = read_locks(text, NOW)
    assert locks.reasons == {"n1": REASON}
    assert locks.until is not None
    assert abs(locks.until - datetime(2026, 3, 1, 12, 29, 30, 123457, tzinfo=UTC)) <= timedelta(microseconds=1)


def test_an_endless_one() -> None:
    assert read({**lock("n1"), "TTL": 2**63 - 1}).reasons == {"n1": REASON}
    assert read({"nodeID": "n1", "created": None, "TTL": 5}) == Locks({"n1": REASON})


def test_what_cannot_be_read_costs_itself_alone() -> None:
    found = read({"maxOwners": 2, "locks": [{"nodeID": 5}, lock("n2"), "n3", {"nodeID": "n4", "created": "today"}]})
    assert found.reasons == {"n2": REASON}
    assert [flaw.partition(":")[0] for flaw in found.flaws] == ["lock 0", "lock 2", "lock 3"]


@pytest.mark.parametrize(
    ("text", "flaw"), [("{", "it is no JSON"), ("5", "it is no mapping"), ('{"locks": {}}', "locks: not a list")]
)
def test_flaws(text: str, flaw: str) -> None:
    assert read_locks(text, NOW) == Locks({}, None, (flaw,))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["nodeID", "created", "TTL", "locks", "x"]), x),
    )
)
def test_nothing_raises(document: object) -> None:
    read(document)
