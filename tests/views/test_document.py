import hashlib
import json
import stat
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import EcmpError, PlanRefused
from k8s_ecmp.model import Action, GuardTrip, NextHop, Plan, Prefix, RouteChange, RouterPlan, Skipped
from k8s_ecmp.views.document import (
    canonical_json,
    decode_plan,
    desired_document,
    encode_plan,
    plan_document,
    write_plan,
)
from tests.views.plans import BLOCKED, CALM, CHANGES, DESIRED, FAILED, FULL, HELD, NOW, SKIPPED, hops, plan_of


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sealed(document: dict[str, Any]) -> bytes:
    """The document with an id that fits, as somebody would write it who edits a plan file with care."""
    body = {key: value for key, value in document.items() if key != "id"}
    return canonical({**body, "id": "sha256:" + hashlib.sha256(canonical(body)).hexdigest()})


def test_the_document_is_the_contract_s():
    document = plan_document(FULL)
    assert document.pop("adopts") == []
    routers = document.pop("routers")
    assert {key: document[key] for key in document if key not in ("id", "digest")} == {
        "version": 1,
        "created": "2025-03-01T12:00:00Z",
        "expires": "2025-03-01T13:00:00Z",
        "owner": "prod-eu1",
        "tag": 4201,
        "cluster": {"source": "state.json", "digest": "sha256:" + "3f2a" * 16},
        "guards": [
            {
                "guard": "mass-withdrawal",
                "router": "leaf-12.dc1.example.com",
                "prefix": None,
                "detail": BLOCKED.guards[0].detail,
            },
            {
                "guard": "last-next-hop",
                "router": "leaf-12.dc1.example.com",
                "prefix": "10.96.0.9/32",
                "detail": BLOCKED.guards[1].detail,
            },
        ],
        "skipped": [{"object": skip.object, "reason": skip.reason} for skip in SKIPPED],
        "summary": {"create": 4, "update": 6, "delete": 5, "conflict": 2, "failed": 1},
        "overrides": [],
        "contested": [
            {
                "prefix": "10.97.0.1/32",
                "ours": ["r2", "r7"],
                "theirs": ["r1", "r6"],
                "none": ["leaf-12.dc1.example.com", "r5", "r8", "r9"],
                "unknown": ["r4"],
            }
        ],
        "rollout": {
            "canary": 1,
            "parallel": 10,
            "pause_s": 60,
            "on_failure": "stop",
            "confirm_within_s": 120,
            "waves": [["r1"], ["r2"]],
        },
        "mode": "full",
        "policy": "sync",
    }
    first = routers[0]
    assert first["withheld"] == 0
    assert first["undo"] == {"timer_s": 120, "by": "router", "restores": "routes"}
    assert first["failure_domain"] == "rack-1"
    assert routers[3]["undo"] is None
    assert list(first) == sorted(first)
    assert first["changes"][:3] == [
        {
            "action": "update",
            "vrf": "default",
            "prefix": "10.96.0.0/12",
            "add": ["10.0.0.3"],
            "remove": [],
            "next_hops": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            "distance": None,
            "reasons": ["node n3 is eligible: Ready for 2 min"],
        },
        {
            "action": "create",
            "vrf": "default",
            "prefix": "10.96.0.10/32",
            "add": ["10.0.0.1", "10.0.0.2"],
            "remove": [],
            "next_hops": ["10.0.0.1", "10.0.0.2"],
            "distance": 5,
            "reasons": ["Service kube-system/kube-dns clusterIP: ready endpoint on n1, n2"],
        },
        {
            "action": "delete",
            "vrf": "default",
            "prefix": "10.96.0.77/32",
            "add": [],
            "remove": ["eth0 10.0.0.1"],
            "next_hops": [],
            "distance": None,
            "reasons": ["no service, range or node asks for it any more"],
        },
    ]
    assert first["changes"][4]["next_hops"] == ["discard"]
    assert {key: first[key] for key in ("name", "platform", "status", "fingerprint", "commands", "diff_source")} == {
        "name": "r1",
        "platform": "frr",
        "status": "changes",
        "fingerprint": "sha256:1",
        "commands": ["a", "b"],
        "diff_source": "predicted",
    }
    assert first["conflicts"] == [
        {
            "vrf": "default",
            "prefix": "10.97.0.1/32",
            "reason": "a route that is not ours: next hop 192.0.2.1 has no tag",
        }
    ]
    assert routers[3]["error"] == FAILED.error
    assert routers[3]["fingerprint"] is None


@pytest.mark.parametrize("plan", [FULL, HELD, CALM, plan_of()])
def test_encoding_is_canonical_json_and_id_its_hash(plan):
    encoded = encode_plan(plan)
    document = json.loads(encoded)
    assert encoded == canonical(document)
    assert encoded == sealed(document)


def test_a_global_guard_has_no_router_and_comes_first():
    guards = plan_document(plan_of(BLOCKED, holds=HELD.holds))["guards"]
    assert [guard["router"] for guard in guards] == [None, BLOCKED.name, BLOCKED.name]


def test_digest_covers_what_is_done_and_nothing_else():
    def digest(plan: Plan) -> object:
        return plan_document(plan)["digest"]

    def change(**fields: object) -> Plan:
        altered = msgspec.structs.replace(CHANGES[0], **fields)
        return plan_of(RouterPlan("r1", "frr", "changes", "sha256:1", (altered,)))

    base = change()
    assert digest(change(reasons=("node n3 is eligible: Ready for 3 min",))) == digest(base)
    assert digest(msgspec.structs.replace(base, created=NOW + timedelta(hours=9), tag=5, skipped=SKIPPED)) == digest(
        base
    )
    assert digest(msgspec.structs.replace(base, routers=(*base.routers, FAILED))) == digest(base)
    turned = [RouterPlan(name, "frr", "changes", None, CHANGES) for name in ("r1", "r2")]
    assert digest(plan_of(*turned)) == digest(plan_of(*reversed(turned)))
    assert plan_document(base)["id"] != plan_document(change(reasons=("else",)))["id"]
    assert digest(plan_of(msgspec.structs.replace(base.routers[0], name="r2"))) != digest(base)
    for fields in (
        {"after": hops("10.0.0.1", "10.0.0.3")},
        {"after": hops("10.0.0.1", "10.0.0.2", "10.0.0.3", distance=5)},
        {"vrf": "red"},
        {"prefix": Prefix.parse("10.96.0.0/13")},
    ):
        assert digest(change(**fields)) != digest(base)


@pytest.mark.parametrize("plan", [FULL, HELD, CALM, plan_of()])
def test_a_decoded_plan_encodes_to_the_same_file(plan):
    assert encode_plan(decode_plan(encode_plan(plan))) == encode_plan(plan)


def test_a_decoded_plan_shows_the_same_changes():
    found = decode_plan(encode_plan(FULL))
    for expected, router in zip(FULL.routers, found.routers, strict=True):
        assert (router.name, router.status, router.guards, router.conflicts) == (
            expected.name,
            expected.status,
            expected.guards,
            expected.conflicts,
        )
        for was, change in zip(expected.changes, router.changes, strict=True):
            assert (change.add, change.remove, change.next_hops) == (was.add, was.remove, was.next_hops)
            assert [hop.distance for hop in change.after] == [hop.distance for hop in was.after]
            assert len(change.before) == len(was.before)
    assert (found.created, found.expires, found.skipped) == (FULL.created, FULL.expires, FULL.skipped)
    assert decode_plan(encode_plan(HELD)).holds == HELD.holds


_addresses = st.lists(st.integers(0, 40).map("10.0.0.{}".format), unique=True, max_size=6)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(_addresses, _addresses, st.none() | st.integers(1, 255), _text, _text)
def test_round_trip_of_any_change(before, after, distance, diff, reason):
    action: Action = "create" if not before else "update" if after else "delete"
    if not before and not after:
        return
    change = RouteChange(
        action, "default", Prefix.parse("10.0.0.0/8"), hops(*before), hops(*after, distance=distance), (reason,)
    )
    plan = plan_of(
        RouterPlan("r1", "frr", "changes", None, (change,), diff=diff),
        holds=(GuardTrip("panic", None, None, reason),),
        skipped=(Skipped(reason, diff),),
    )
    encoded = encode_plan(plan)
    assert encoded == canonical(json.loads(encoded))
    (found,) = decode_plan(encoded).routers[0].changes
    assert (found.add, found.remove) == (change.add, change.remove)
    assert sorted(found.next_hops) == sorted(change.next_hops)
    assert encode_plan(decode_plan(encoded)) == encoded


def test_the_order_of_a_routers_lines_does_not_show():
    def encoded(before: tuple[NextHop, ...], after: tuple[NextHop, ...]) -> bytes:
        change = RouteChange.between("default", Prefix.parse("10.0.0.0/8"), before, after)
        return encode_plan(plan_of(RouterPlan("r1", "frr", "changes", None, (change,))))

    stand = (*hops("10.0.0.10", "10.0.0.2", "10.0.0.9", "10.0.0.2"), NextHop("10.0.0.1", "eth0"))
    kept = tuple(hop for hop in stand if hop.address in ("10.0.0.10", "10.0.0.9"))
    for after in ((), hops("10.0.0.3"), kept):
        turned = tuple(reversed(after)) if after is kept else after
        assert encoded(stand, after) == encoded(tuple(reversed(stand)), turned)
    change = plan_document(decode_plan(encoded(stand, kept)))["routers"][0]["changes"][0]
    assert change["remove"] == ["10.0.0.2", "eth0 10.0.0.1"]
    assert change["next_hops"] == ["10.0.0.9", "10.0.0.10"]


def test_a_line_that_stood_twice_is_one_next_hop_of_the_plan_that_restores_it():
    change = RouteChange.between("default", Prefix.parse("10.0.0.0/8"), (), hops("10.0.0.2", "10.0.0.1", "10.0.0.2"))
    found = decode_plan(encode_plan(plan_of(RouterPlan("r1", "frr", "changes", None, (change,)))))
    assert found.routers[0].changes[0].next_hops == ("10.0.0.2", "10.0.0.1")


def test_a_file_may_be_indented():
    assert encode_plan(decode_plan(msgspec.json.format(encode_plan(FULL), indent=2))) == encode_plan(FULL)


@given(st.data())
def test_any_edit_of_a_value_is_refused(data):
    document = json.loads(encode_plan(FULL))
    places = [(document, key) for key in document]
    for router in document["routers"]:
        places += [(router, key) for key in router]
        for change in router["changes"]:
            places += [(change, key) for key in change]
    holder, key = data.draw(st.sampled_from(places))
    edited = data.draw(st.sampled_from(["", "x", 7, None, [], {}, True]))
    if edited == holder[key]:
        return
    holder[key] = edited
    with pytest.raises(PlanRefused):
        decode_plan(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff", b'{"version":1}', b"[" * 100_000])
def test_what_is_no_plan(content):
    with pytest.raises(PlanRefused, match=r"^web\.plan is not a plan"):
        decode_plan(content, "web.plan")


@pytest.mark.parametrize("version", [2, 0, "1", True, None])
def test_another_version_is_refused_by_its_number(version):
    with pytest.raises(PlanRefused, match=f"has version {version!r}, this program reads 1"):
        decode_plan(sealed({**plan_document(FULL), "version": version}))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d["routers"].append(d["routers"][0]), "twice"),
        (lambda d: d.pop("summary"), "summary"),
        (lambda d: d.update(created="yesterday"), "yesterday"),
        (lambda d: d.update(expires="2025-03-01T13:00:00"), "no time zone"),
        (lambda d: d["routers"][0]["changes"][0].update(next_hops=["10.0.0.1"]), "contradicts itself"),
        (lambda d: d["routers"][0]["changes"][0].update(action="delete"), "contradicts itself"),
        (lambda d: d["routers"][0]["changes"][0].update(action="replace"), "replace"),
        (lambda d: d["routers"][0]["changes"][0].update(remove=["10.0.0.1"]), "contradicts itself"),
        (lambda d: d["routers"][0]["changes"][0].update(prefix="10.96.0.1/12"), "host bits"),
        (lambda d: d["routers"][0]["changes"][0].update(add=["x\ny"], next_hops=["x\ny"]), "not an IP address"),
        (lambda d: d["routers"][0]["changes"][0].update(add=["fd00::1"], next_hops=["fd00::1"]), "no next hop for"),
        (lambda d: d["routers"][0]["changes"][0].update(add=[], next_hops=["a\nb"]), "is no text"),
        (lambda d: d["routers"][0]["changes"][0].update(vrf="a\nb"), "is no text"),
    ],
)
def test_a_file_with_a_fitting_hash_must_still_make_sense(edit, told):
    document = plan_document(FULL)
    edit(document)
    _expect_refusal(document, told)


def _expect_refusal(document: dict[str, Any], told: str) -> None:
    """Whoever edits a file with care makes its digest and id fit, too."""
    changes = [
        {
            "name": router["name"],
            "changes": [{key: c[key] for key in c if key != "reasons"} for c in router["changes"]],
        }
        for router in sorted(document["routers"], key=lambda router: router["name"])
        if router["changes"]
    ]
    document["digest"] = "sha256:" + hashlib.sha256(canonical(changes)).hexdigest()
    with pytest.raises(PlanRefused) as caught:
        decode_plan(sealed(document))
    assert told in str(caught.value)


PAIR = (
    NextHop("10.0.0.1", tag=4201, distance=200, options=("bfd",)),
    NextHop("10.0.0.1", tag=4201, distance=10),
    NextHop("10.0.0.9", "eth0", tag=4201),
)
BACK = msgspec.structs.replace(
    plan_of(
        RouterPlan(
            "r1",
            "frr",
            "changes",
            None,
            (
                RouteChange("update", "default", Prefix.parse("10.96.0.0/12"), hops("10.0.0.1"), PAIR),
                RouteChange("delete", "default", Prefix.parse("10.97.0.0/16"), hops("10.0.0.1"), ()),
            ),
        )
    ),
    cluster_source="journal entry 7",
)


def test_a_plan_that_takes_something_back_has_everything_on_its_hops() -> None:
    update, delete = plan_document(BACK)["routers"][0]["changes"]
    assert update["hops"] == [
        {"address": "10.0.0.1", "distance": 200, "options": ["bfd"], "tag": 4201},
        {"address": "10.0.0.1", "distance": 10, "tag": 4201},
        {"address": "10.0.0.9", "interface": "eth0", "tag": 4201},
    ]
    assert "hops" not in delete
    assert not any("hops" in change for router in plan_document(FULL)["routers"] for change in router["changes"])
    found = decode_plan(encode_plan(BACK)).routers[0].changes[0]
    assert found.after == PAIR


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda hops: hops[0].update(tag=7), "are not its next hops"),
        (lambda hops: hops[0].pop("tag"), "are not its next hops"),
        (lambda hops: hops.pop(), "are not its next hops"),
        (lambda hops: hops[0].update(options=["bfd\nno router bgp"]), "is no text"),
        (lambda hops: hops[2].update(address="10.0.0.9 x"), "are not its next hops"),
    ],
)
def test_edited_hops_of_a_way_back_are_refused(edit, told):
    document = plan_document(BACK)
    edit(document["routers"][0]["changes"][0]["hops"])
    _expect_refusal(document, told)


def test_a_digest_of_other_changes_is_refused():
    with pytest.raises(PlanRefused, match="digest"):
        decode_plan(sealed({**plan_document(FULL), "digest": "sha256:0"}))


def test_write_plan(tmp_path):
    path = tmp_path / "web.plan"
    path.write_text("older")
    write_plan(path, FULL)
    assert path.read_bytes() == encode_plan(FULL) + b"\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert encode_plan(decode_plan(path.read_bytes())) == encode_plan(FULL)


def test_a_plan_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(EcmpError, match=r"web\.plan cannot be written: No such file"):
        write_plan(tmp_path / "nowhere" / "web.plan", FULL)
    taken = tmp_path / "web.plan"
    taken.mkdir()
    with pytest.raises(EcmpError, match="cannot be written"):
        write_plan(taken, FULL)
    assert list(tmp_path.iterdir()) == [taken]


def test_desired_document():
    document = desired_document(DESIRED[:1], SKIPPED[:1])
    assert document == {
        "version": 1,
        "routes": [
            {
                "prefix": "10.96.0.0/12",
                "kind": "aggregate",
                "nodes": ["n1", "n2", "n3"],
                "next_hops": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
                "sources": ["ServiceCIDR kubernetes"],
            }
        ],
        "skipped": [{"object": "Service default/headless", "reason": "headless"}],
    }
    assert canonical_json(document) == canonical(document)


def test_a_hop_through_an_interface_keeps_its_label():
    before = (NextHop(address="10.0.0.1", interface="eth0", vrf="red"),)
    change = RouteChange("update", "default", Prefix.parse("10.0.0.0/8"), before, hops("10.0.0.2"), ())
    found = decode_plan(encode_plan(plan_of(RouterPlan("r1", "frr", "changes", None, (change,)))))
    assert found.routers[0].changes[0].remove == ("eth0 10.0.0.1 vrf red",)


def test_a_file_of_a_program_that_did_not_know_what_is_restored_is_read():
    document = plan_document(FULL)
    for router in document["routers"]:
        if router["undo"] is not None:
            del router["undo"]["restores"]
        for shift in (router["flows"] or {"prefixes": ()})["prefixes"]:
            del shift["covering"]
    plan = decode_plan(sealed(document))
    assert {router.undo.restores for router in plan.routers if router.undo is not None} == {None}
    assert {shift.covering for router in plan.routers if router.flows is not None for shift in router.flows.shifts} == {
        None
    }


def test_flows_that_go_to_or_from_a_larger_route_are_kept():
    found = decode_plan(encode_plan(FULL)).routers[0].flows
    assert found is not None
    assert found == FULL.routers[0].flows
    assert {str(shift.covering) for shift in found.shifts} == {"None", "10.96.0.0/12"}
