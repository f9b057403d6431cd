"""What the driver can do beyond NAPALM's methods: for sessions that stay open, and to save the router work."""

from collections.abc import Callable, Sequence

from k8s_ecmp.routers.drivers.frr.note import Note
from k8s_ecmp.routers.drivers.frr.remote import Remote


class Keeping:
    """The driver's memory, its lock and its startup configuration, in the hands of whoever uses the session."""

    def __init__(self, remote: Remote, recover: Callable[[], None]) -> None:
        self._remote = remote
        self._recover = recover

    def open_to_look(self) -> None:
        """As `FrrDriver.open`, for questions alone: what writes is not started before something is to be written."""
        self._remote.open(to_look=True)

    def settle(self) -> None:
        """Takes back what a dead session left pending or half done, under the lock; without it where nothing is.

        Raises:
            LockHeld, CommitFailed: as `FrrDriver.load_merge_candidate`.
        """
        if self._remote.commit_waits():
            self._recover()

    @property
    def reads(self) -> int:
        """Counts how often the running configuration was read; staging reads it when another session held the lock."""
        return self._remote.reads

    def changed_by_others(self) -> bool:
        """Whether another session of this tool has held the lock since the configuration was read; asks the router."""
        return self._remote.changed_by_others()

    def look_along(self, commands: Sequence[str]) -> None:
        """Has the next staging bring the answers to these commands of vtysh along: what `cli` says of them until then.

        They are asked under the lock, once the candidate is on the router; saves their own way to it and back.
        """
        self._remote.look_along = tuple(commands)

    def write_down(self, commands: Sequence[str]) -> Note | None:
        """Has the router write down what it runs, and what vtysh answers to these commands, for another session.

        Only for whoever holds the lock. None where the router cannot.
        """
        return self._remote.write_down(commands)

    def fetch(self, note: Note) -> bool:
        """Fetches what another session had written down: `get_config` and `cli` give each answer of it once.

        Whether it was there; where not, they ask the router, as they do the second time and for everything else.
        """
        return self._remote.fetch(note)

    def forget(self) -> None:
        """What was fetched, or looked at along with staging, is no longer of this moment."""
        self._remote.forget_looks()

    @property
    def unsaved(self) -> bool:
        """Whether the running configuration has a commit that the startup configuration may lack."""
        return self._remote.unsaved

    @property
    def found_unsaved(self) -> bool:
        """Whether this session found that an earlier one, of any process, committed and ended before it saved."""
        return self._remote.agent.found_unsaved

    def expect_unsaved(self) -> None:
        """An earlier session committed and was lost before it saved."""
        self._remote.unsaved = True

    def save_startup(self) -> None:
        """Writes the startup configuration, unless a commit waits for its confirm; that stays to be done then.

        One that a login may not write is a warning in the log.
        """
        if not self._remote.commit_waits():
            self._remote.save()

    def fence(self, seconds: int) -> None:
        """Lets our lock lapse after so many seconds; 0: never.

        Whoever sleeps that long may no longer be the one who writes: the router refuses the commit then, and others may
        take the lock over, and take back a commit that waits for its confirm. Every question to the router renews it.
        """
        self._remote.fence_s = seconds

    def renew_fence(self) -> None:
        """Begins that time anew."""
        self._remote.renew_fence(at_once=True)

    def acknowledge_at_once(self) -> None:
        """Has what the router sends acknowledged without delay, which its answers would wait for."""
        self._remote.acknowledge_at_once()

    def keep_applied(self) -> None:
        """Keeps a commit that a lost session left to be confirmed, where it was applied in full.

        For whoever knows what shall be and plans from what is: taking it back would only be two changes more.
        """
        self._remote.keep_applied = True
