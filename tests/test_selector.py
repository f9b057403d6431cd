import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.selector import Operator, Requirement, Selector

_CHARS = "abzAZ019"
_names = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(_CHARS),
    st.text(_CHARS + "-_.", max_size=8),
    st.sampled_from(_CHARS),
) | st.sampled_from(["in", "notin", "a"])
_keys = _names | st.builds("{}/{}".format, st.sampled_from(["k8s.io", "a-b.example.com", "x"]), _names)
_values = _names | st.just("")
_numbers = st.integers(min_value=0, max_value=2**63 - 1).map(str)
_requirements = st.one_of(
    st.builds(Requirement, _keys, st.sampled_from(["exists", "!"])),
    st.builds(Requirement, _keys, st.sampled_from(["=", "!="]), st.tuples(_values)),
    st.builds(Requirement, _keys, st.sampled_from([">", "<"]), st.tuples(_numbers)),
    st.builds(
        Requirement,
        _keys,
        st.sampled_from(["in", "notin"]),
        st.sets(_values, min_size=1, max_size=4).map(lambda values: tuple(sorted(values))),
    ),
)
_labels = st.dictionaries(_keys, _values | _numbers, max_size=5)


@given(st.lists(_requirements, max_size=5))
def test_text_of_a_selector_reads_back(requirements):
    selector = Selector(tuple(requirements))
    assert Selector.parse(str(selector)) == selector


@given(st.lists(_requirements, max_size=4), _labels)
def test_explain_speaks_exactly_when_nothing_matches(requirements, labels):
    selector = Selector(tuple(requirements))
    assert (selector.explain(labels) is None) == selector.matches(labels)
    assert selector.matches(labels) == all(Selector((one,)).matches(labels) for one in requirements)


OPPOSITES: dict[Operator, Operator] = {
    "exists": "!",
    "!": "exists",
    "=": "!=",
    "!=": "=",
    "in": "notin",
    "notin": "in",
}


@given(_requirements, _labels)
def test_opposites(requirement, labels):
    opposite = OPPOSITES.get(requirement.operator)
    if opposite is not None:
        other = Requirement(requirement.key, opposite, requirement.values)
        assert requirement.matches(labels) != other.matches(labels)
    elif requirement.key not in labels:
        assert not requirement.matches(labels)


@given(st.text("ab=!(),<> \tin1-é", max_size=14))
def test_any_text_is_a_selector_or_a_value_error_with_a_position(text):
    told = ""
    try:
        selector = Selector.parse(text)
    except ValueError as error:
        selector, told = None, str(error)
    assert ": position " in told or Selector.parse(str(selector)) == selector


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_empty_matches_everything(text):
    assert Selector.parse(text).matches({})
    assert Selector.parse(text).matches({"a": "b"})


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=b", {"a": "b"}, {"a": "c"}),
        ("a==b", {"a": "b"}, {}),
        ("a!=b", {}, {"a": "b"}),
        ("a=", {"a": ""}, {}),
        ("a=,c", {"a": "", "c": "x"}, {"a": ""}),
        ("e in (x,y)", {"e": "y"}, {"e": "z"}),
        ("e in (x,y)", {"e": "x"}, {}),
        ("e notin (x, y)", {}, {"e": "x"}),
        ("e in (x,,y)", {"e": ""}, {"e": "z"}),
        ("e in ()", {"e": ""}, {"e": "z"}),
        ("e in (,)", {"e": ""}, {}),
        ("g", {"g": ""}, {}),
        ("!h", {}, {"h": ""}),
        ("n>5", {"n": "6"}, {"n": "5"}),
        ("n<5", {"n": "4"}, {"n": "x"}),
        ("n<5", {"n": "-4"}, {}),
        ("n<5", {"n": "4"}, {"n": "-9223372036854775809"}),
        ("in in (in,notin)", {"in": "in"}, {"in": "x"}),
        ("notin notin (in)", {"notin": "x"}, {"notin": "in"}),
        ("node.kubernetes.io/role=a.b-c_d", {"node.kubernetes.io/role": "a.b-c_d"}, {"role": "a.b-c_d"}),
        (
            " a = b , c != d , e in ( x , y ) , f notin (z) , g , ! h ",
            {"a": "b", "e": "x", "g": "1"},
            {"a": "b", "e": "x", "g": "1", "h": ""},
        ),
    ],
)
def test_meaning(text, yes, no):
    selector = Selector.parse(text)
    assert selector.matches(yes)
    assert selector.explain(yes) is None
    assert not selector.matches(no)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("a b", 3, "found 'b', expected one of ="),
        ("a=b c", 5, '"," or the end'),
        ("a=b,", 5, "it ends here, expected a label key"),
        (",a", 1, "label key"),
        ("!a=b", 3, '"," or the end'),
        ("!", 2, "it ends here"),
        ("a in b", 6, 'expected "("'),
        ("a in (b", 8, "it ends here"),
        ("a in (b c)", 9, '"," or ")"'),
        ("a in (b,,)", 10, "expected a value"),
        ("a=b)", 4, "found ')'"),
        ("a>x", 3, "whole number"),
        ("a>9223372036854775808", 3, "whole number"),
        ("a>=5", 3, "found '='"),
        ("-a", 1, "no label key"),
        ("a" * 64, 1, "no label key"),
        ("a/b/c", 1, "no lower-case DNS name"),
        ("/b", 1, "no lower-case DNS name"),
        ("A.b/c", 1, "no lower-case DNS name"),
        ("a=" + "b" * 64, 3, "no label value"),
        ("a=-b", 3, "no label value"),
        ("a=b\x00", 3, "no label value"),
        ("zoné=b", 1, "no label key"),
    ],
)
def test_bad_syntax_is_named_with_its_position(text, position, expected):
    with pytest.raises(ValueError) as caught:
        Selector.parse(text)
    assert f"position {position}: " in str(caught.value)
    assert expected in str(caught.value)


def test_explain_names_the_first_requirement_and_the_label():
    selector = Selector.parse("gpu,zone in (a,b)")
    assert selector.explain({}) == "gpu does not hold, label gpu is missing"
    assert selector.explain({"gpu": "", "zone": "c"}) == "zone in (a,b) does not hold, label zone is 'c'"
