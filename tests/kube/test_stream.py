"""Bytes to lines: whatever the places at which the stream is cut into pieces."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k8s_ecmp.kube.stream import Chunks, Garbled, Lines, loosely

EVENTS = st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=20), max_size=3), max_size=6)


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(whole) + 1) for cut in cuts} | {0, len(whole)})
    return [whole[start:end] for start, end in itertools.pairwise(places)]


def chunked(parts: list[bytes], extension: bytes = b"") -> bytes:
    return b"".join(b"%X%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part) + b"0\r\n\r\n"


@settings(deadline=None)
@given(EVENTS, st.lists(st.integers(0, 10_000), max_size=30), st.lists(st.integers(0, 10_000), max_size=30))
def test_events_arrive_whole(events: list[dict[str, str]], chunk_cuts: list[int], cuts: list[int]) -> None:
    """Chunks end anywhere within events, and pieces anywhere within chunks."""
    text = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)
    wire = chunked(pieces(text, chunk_cuts))
    chunks, lines, found = Chunks(), Lines(), []
    for piece in pieces(wire, cuts):
        assert not chunks.ended or piece in b"\r\n\r\n"
        found += lines.feed(chunks.feed(piece))
    assert [json.loads(line) for line in found] == events
    assert chunks.ended
    assert not lines.incomplete


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_content(content: bytes, cuts: list[int]) -> None:
    chunks = Chunks()
    assert b"".join(chunks.feed(bytes([byte])) for byte in chunked(pieces(content, cuts), b";x=y")) == content
    assert chunks.ended


@given(st.binary(max_size=60))
def test_what_is_not_chunked_is_refused_or_waits(wire: bytes) -> None:
    """Never anything but content or a ValueError."""
    chunks = Chunks()
    try:
        content = chunks.feed(wire)
    except ValueError:
        return
    assert len(content) < len(wire) or not wire


@pytest.mark.parametrize(
    "wire", [b"xyz\r\n", b"-5\r\nabcde", b"0x5\r\nabcde", b"ffffffffff\r\n", b"1_0\r\n", b"a" * 5000]
)
def test_no_size(wire: bytes) -> None:
    with pytest.raises(ValueError, match="a chunk without a size"):
        Chunks().feed(wire + b"\n") if len(wire) < 100 else Chunks().feed(wire)


def test_an_end_within_a_line() -> None:
    lines = Lines()
    assert lines.feed(b'{"a": 1}\n\n  \n{"b"') == [b'{"a": 1}']
    assert lines.incomplete


def test_loosely() -> None:
    assert loosely(b'{"type": "ADDED", "object": {"a": "\xff"}}') == ("ADDED", {"a": "\ufffd"})
    assert loosely(b'{"type": "ADDED", "object": 5}') == ("ADDED", {})
    for line in (b"<html>", b"5", b"{}", b'{"type": 5}'):
        with pytest.raises(Garbled):
            loosely(line)
