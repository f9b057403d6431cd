"""The journal: what was planned, overridden, begun, done and taken back, by whom and why, for years.

SQLite in WAL mode. Entries are only ever added: each carries the SHA-256 of itself and of the one before it, so that
`check` finds any that was changed, taken out or put between. A change of a router is written down before it is begun;
where that fails, nothing is written to the router.

A file that has grown large is closed by an entry that names the next one: `journal.sqlite`, `journal.2.sqlite`, ... Its
numbers and hashes go on there, and a closed file never changes again. What is to go goes by whole files (`prune`),
which leaves an entry.
"""

from k8s_ecmp.journal.entry import Author, Begun, Entry, Kind, Line
from k8s_ecmp.journal.files import Journal, stands

__all__ = ["Author", "Begun", "Entry", "Journal", "Kind", "Line", "stands"]
