"""A note as it came from the router."""

import pytest

from k8s_ecmp.routers.drivers.frr.note import Note

END = "% Unknown command: k8s-ecmp-next\n"
NOTE = Note("k8s-ecmp-note-1", ("show a", "show b"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"k8s-ecmp-note-1\na\n{END}b\nb\n{END}", {"show a": "a\n", "show b": "b\nb\n"}),
        (f"Welcome\nk8s-ecmp-note-1\n{END}b\n{END}Bye", {"show a": "", "show b": "b\n"}),
        (f"k8s-ecmp-note-1\na\n{END}% Unknown command: show b\n{END}", {"show a": "a\n"}),
        (f"k8s-ecmp-note-1\na\n{END}b\n", {}),
        (f"k8s-ecmp-note-1\na\n{END}b\n{END}{END}", {}),
        (f"k8s-ecmp-note-2\na\n{END}b\n{END}", {}),
        ("k8s-ecmp-note-1\n", {}),
        ("", {}),
    ],
    ids=["whole", "a talking login", "one is refused", "cut off", "too many", "another", "empty", "none"],
)
def test_a_note_has_all_its_answers_or_none(text: str, found: dict[str, str]) -> None:
    assert NOTE.answers(text) == found


def test_no_two_notes_are_taken_for_each_other() -> None:
    assert Note.of(("show a",)).mark != Note.of(("show a",)).mark
