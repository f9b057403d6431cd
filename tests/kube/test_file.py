"""Files of kubectl: every form of them, and what the user is told about files that are none."""

import codecs
import dataclasses
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from k8s_ecmp.errors import ClusterFileError
from k8s_ecmp.kube import load_cluster
from k8s_ecmp.kube.file import load_file
from k8s_ecmp.model import ClusterState, EndpointSlice, Node, Service, Skipped
from k8s_ecmp.settings import ClusterSettings, Settings
from tests.examples import more_examples
from tests.kube.build import cidr, listed, load, load_text, node, piece, service, settings

DUMPS = Path(__file__).resolve().parents[1] / "data" / "clusters"
ITEMS = (node("n1"), service("s"), piece("s-1"), cidr("kubernetes", "10.96.0.0/16"))


def without_kind(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}


def names(state: ClusterState) -> list[str]:
    items: tuple[Node | Service | EndpointSlice, ...] = (*state.nodes, *state.services, *state.slices)
    return [f"{type(item).__name__} {item.name}" for item in items]


FORMS = {
    "compact": json.dumps(listed(*ITEMS), separators=(",", ":")),
    "indented": "\n\n" + json.dumps(listed(*ITEMS), indent=4) + "\n\n",
    "bare list": json.dumps(ITEMS),
    "lists of kinds": "".join(
        json.dumps({"kind": f"{item['kind']}List", "apiVersion": "v1", "items": [without_kind(item)]}) for item in ITEMS
    ),
    "documents": "\n".join(json.dumps(item, indent=1) for item in ITEMS) + "\n",
    "yaml": yaml.safe_dump(listed(*ITEMS)),
    "yaml, bare list": yaml.safe_dump(list(ITEMS)),
    "yaml documents": "---\n" + yaml.safe_dump_all([*ITEMS, None]),
    "yaml, lists": "# by hand\n" + yaml.safe_dump_all([listed(*ITEMS[:2]), listed(*ITEMS[2:])]),
    "yaml, lists of kinds": yaml.safe_dump_all(
        [{"kind": f"{item['kind']}List", "items": [without_kind(item)]} for item in ITEMS]
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_says_the_same(tmp_path: Path, form: str, encoding: str) -> None:
    state = load_text(tmp_path, FORMS[form].encode(encoding))
    assert names(state) == ["Node n1", "Service s", "EndpointSlice s-1"]
    assert [entry.origin for entry in state.service_cidrs] == ["ServiceCIDR kubernetes"]
    assert (state.skipped, state.warnings) == ((), ())


def test_kubectls_own_dumps() -> None:
    state = load_file(str(DUMPS / "three-nodes.json"), settings=settings())
    assert [made.name for made in state.nodes] == ["n1", "n2", "n3"]
    assert [made.key for made in state.services] == [
        "default/database",
        "default/elsewhere",
        "default/kubernetes",
        "default/nginx",
        "default/web",
        "kube-system/kube-dns",
    ]
    assert len(state.slices) == 5
    assert [str(entry.prefix) for entry in state.service_cidrs] == ["10.43.0.0/16", "fd43::/108"]
    assert (state.skipped, state.warnings) == ((), ())
    as_yaml = load_file(str(DUMPS / "three-nodes.yaml"), settings=settings())
    assert dataclasses.replace(as_yaml, source=state.source) == state
    without = load_file(str(DUMPS / "three-nodes-without-cidrs.json"), settings=settings())
    assert dataclasses.replace(without, source=state.source, service_cidrs=state.service_cidrs) == state


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.BytesIO(FORMS["compact"].encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=text))
    state = load_cluster(Settings(owner="x", tag=4201, cluster=ClusterSettings(source="-")))
    assert state.source == "stdin"
    assert names(state) == ["Node n1", "Service s", "EndpointSlice s-1"]


def test_a_path(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FORMS["yaml"])
    state = load_cluster(Settings(owner="x", tag=4201, cluster=ClusterSettings(source=str(path))))
    assert state.source == str(path)
    assert len(state.nodes) == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "FILE is empty"),
            (" \n\n", "FILE is empty"),
            (codecs.BOM_UTF8, "FILE is empty"),
            ('{\n  "kind": "List",\n  "items": [,]\n}', "FILE:3:13: this is no JSON: invalid character"),
            ('{"items": [\n  {"kind": "Node"},\n', "FILE:3:1: the JSON ends too early"),
            ('{"items": []}\n{"items": [1 2]}', "FILE:2:14: this is no JSON: expected ',' or ']'"),
            ('{"items": []}\nWarning: x', "FILE:2:1: this is no JSON: invalid character"),
            ('{"kind": "List", "items": {}}', "FILE is not a list of Kubernetes objects: items: {} is not a list"),
            ('{"kind": 5, "items": []}', "FILE is not a list of Kubernetes objects: kind: 5 is not a string"),
            ('{"a": 1}', "FILE is not a list of Kubernetes objects: it has neither items nor a kind"),
            (
                '{"kind": "Status", "message": "nodes is forbidden"}',
                "FILE is not a list of Kubernetes objects: it is the API server's answer: nodes is forbidden",
            ),
            ("<html><body>Sign in</body></html>", "FILE is a web page or XML, not JSON or YAML"),
            (
                "Error from server (Forbidden): nodes is forbidden\n",
                "FILE holds a message instead of objects: Error from server (Forbidden): nodes is forbidden",
            ),
            ("NAME   STATUS   ROLES\nn1  Ready  x\n", "FILE holds a message instead of objects: NAME   STATUS   ROLES"),
            ("hello\n", "FILE is not a list of Kubernetes objects: it is a single value"),
            ("items: 5\n", "FILE is not a list of Kubernetes objects: items is not a list"),
            ("items:\n- a: [\n- b\n", "FILE:3:1: this is no YAML: "),
            ("a: \x00\n", "FILE is neither JSON nor YAML: "),
            (b"kind: List\nitems: \xff\n", "FILE is neither JSON nor YAML: "),
            (b"\xff\xfe\x00", "FILE is not valid UTF-16: "),
            (
                "kind: Config\napiVersion: v1\n",
                "FILE has no objects of kind Node, Service or EndpointSlice, but 1 Config",
            ),
            (
                json.dumps(listed({"kind": "Deployment"}, {"kind": "Deployment"}, {"metadata": {}}, 5)),
                "FILE has no objects of kind Node, Service or EndpointSlice, but 2 Deployment, 2 object without a kind",
            ),
            (
                '{"kind": "PodMetricsList", "items": [{}, {}]}',
                "FILE has no objects of kind Node, Service or EndpointSlice, but 2 PodMetrics",
            ),
            (
                '{"kind": "PodList", "items": [{}, {"spec": {}}]}',
                "FILE has no objects of kind Node, Service or EndpointSlice, but 2 Pod",
            ),
        ],
    )
    def test_texts(self, tmp_path: Path, text: str | bytes, message: str) -> None:
        with pytest.raises(ClusterFileError) as raised:
            load_text(tmp_path, text)
        assert raised.value.message.startswith(message.replace("FILE", str(tmp_path / "cluster.json")))
        assert "\n" not in str(raised.value)
        assert raised.value.remedy == "write it with `kubectl get nodes,services,endpointslices -A -o json`"

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ClusterFileError, match=re.escape(f"there is no file {tmp_path}/none.json (write it with")):
            load_file(str(tmp_path / "none.json"), settings=settings())

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ClusterFileError, match=re.escape(f"{tmp_path} is a folder, not a file")):
            load_file(str(tmp_path), settings=settings())


class TestTolerated:
    def test_other_kinds(self, tmp_path: Path) -> None:
        others = [{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": 5}}, {"kind": "Pod"}, 7, None]
        state = load(tmp_path, *others, *ITEMS)
        assert names(state) == ["Node n1", "Service s", "EndpointSlice s-1"]
        assert state.skipped == ()

    def test_bytes_that_are_no_utf_8(self, tmp_path: Path) -> None:
        text = json.dumps(listed(node("bad", metadata={"labels": {"a": "XX"}}), node("good"))).encode()
        state = load_text(tmp_path, text.replace(b"XX", b"\xff\xfe"))
        assert names(state) == ["Node good"]
        [skipped] = state.skipped
        assert skipped.object == "Node bad"
        assert "utf-8" in skipped.reason

    def test_nameless_and_shapeless(self, tmp_path: Path) -> None:
        broken = [{"kind": "Service", "metadata": 5}, {"kind": "Service", "metadata": {"name": 5, "namespace": "x"}}]
        state = load(tmp_path, node(), *broken)
        assert state.skipped == (
            Skipped("Service without a name", "metadata: 5 is not a mapping"),
            Skipped("Service without a name in x", "metadata.name: 5 is not a string"),
        )

    def test_times_in_yaml_without_quotes(self, tmp_path: Path) -> None:
        quoted = yaml.safe_dump(listed(node(metadata={"creationTimestamp": "2026-03-01T10:00:00Z"})))
        assert "'2026-03-01T10:00:00Z'" in quoted
        state = load_text(tmp_path, quoted.replace("'", ""))
        assert state.skipped == ()
        assert state.nodes[0].created is not None

    def test_broken_ones_in_yaml(self, tmp_path: Path) -> None:
        text = yaml.safe_dump(listed(node("bad", metadata={"labels": {"a": 5}}), node("good")))
        state = load_text(tmp_path, text)
        assert state.skipped == (Skipped("Node bad", "metadata.labels.a: 5 is not a string"),)
        assert names(state) == ["Node good"]

    def test_no_namespace_is_default(self, tmp_path: Path) -> None:
        bare = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.0.5"}}
        assert [made.key for made in load(tmp_path, node(), bare).services] == ["default/s"]


class TestWarnings:
    def test_the_last_of_two_counts(self, tmp_path: Path) -> None:
        state = load(tmp_path, node("n1"), node("n1", status=None), service("s", "a"), service("s", "b"))
        assert [made.internal_ips for made in state.nodes] == [()]
        assert len(state.services) == 2
        assert "the last one counts of what is there more than once: Node n1" in state.warnings[-1]
        assert "Service" not in state.warnings[-1]

    def test_many_twice(self, tmp_path: Path) -> None:
        nodes = [node(f"n{number}") for number in range(9)]
        state = load(tmp_path, *nodes, *nodes)
        assert state.warnings[-1].endswith(": Node n0, Node n1, Node n2 and 6 more")

    @pytest.mark.parametrize("items", [(), (service(), piece())])
    def test_no_nodes(self, tmp_path: Path, items: tuple[Any, ...]) -> None:
        [warning] = load(tmp_path, *items).warnings
        assert "there are no Node objects" in warning
        assert "kubectl get nodes,services,endpointslices -A -o json" in warning

    def test_no_slices(self, tmp_path: Path) -> None:
        [warning] = load(tmp_path, node(), service()).warnings
        assert "there are Service objects but no EndpointSlice objects" in warning

    def test_slices_that_cannot_be_read_are_not_missing(self, tmp_path: Path) -> None:
        state = load(tmp_path, node(), service(), piece(addressType="IPX"))
        assert state.warnings == ()
        assert len(state.skipped) == 1

    def test_no_services(self, tmp_path: Path) -> None:
        assert load(tmp_path, node()).warnings == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_PATHS = st.sampled_from(
    [
        (section, *rest)
        for section, rest in [
            ("metadata", ()),
            ("metadata", ("name",)),
            ("metadata", ("labels",)),
            ("spec", ()),
            ("spec", ("clusterIP",)),
            ("spec", ("taints",)),
            ("status", ()),
            ("status", ("addresses",)),
            ("status", ("loadBalancer",)),
            ("endpoints", ()),
            ("addressType", ()),
            ("apiVersion", ()),
        ]
    ]
)


@given(base=st.sampled_from(ITEMS), path=_PATHS, value=_JSON)
@more_examples(3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_in_one_object_touches_another(tmp_path: Path, base: Any, path: tuple[str, ...], value: Any) -> None:
    """Whatever stands at a field, JSON and YAML say the same and the good objects are there."""
    document = json.loads(json.dumps(base))
    place = document
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    document["metadata"] = {"namespace": "other", "name": "odd"} | (
        document["metadata"] if isinstance(document["metadata"], dict) else {}
    )
    good = (node("good"), service("good"), piece("good"))
    as_json = load(tmp_path, document, *good)
    as_yaml = load_text(
        tmp_path, yaml.dump(listed(document, *good), Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    )
    assert as_json == as_yaml
    assert {"Node good", "Service good", "EndpointSlice good"} <= set(names(as_json))
