"""Who may write: the question that is asked before every commit."""

from typing import Protocol


class Authority(Protocol):
    """The right to write to routers, as a Lease gives it or takes it away."""

    @property
    def leading(self) -> bool:
        """Whether this process is the one that acts at the moment; cheap, from memory."""
        ...

    @property
    def leader(self) -> str | None:
        """Identity of the one that acts, None where it is not known."""
        ...

    @property
    def term(self) -> int:
        """Counts up each time this process begins to lead: what was read from routers in an earlier term is stale."""
        ...

    def refusal(self) -> str | None:
        """Why nothing may be written at this moment, in words; None: write now. Asked directly before a commit."""
        ...


class Sole:
    """The authority of a daemon without a Lease: it may always write."""

    def __init__(self, identity: str) -> None:
        self.leader: str | None = identity
        self.leading = True
        self.term = 1

    def refusal(self) -> str | None:
        return None
