"""What a session that stays open needs of the driver beyond NAPALM's methods."""

from k8s_ecmp.routers.drivers.frr.remote import Remote


class Keeping:
    """The driver's memory, its lock and its startup configuration, in the hands of whoever keeps the session."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def reads(self) -> int:
        """Counts how often the running configuration was read; staging reads it when another session held the lock."""
        return self._remote.reads

    def changed_by_others(self) -> bool:
        """Whether another session of this tool has held the lock since the configuration was read; asks the router."""
        return self._remote.changed_by_others()

    @property
    def unsaved(self) -> bool:
        """Whether the running configuration has a commit that the startup configuration may lack."""
        return self._remote.unsaved

    def save_startup(self) -> None:
        """Writes the startup configuration; one that a login may not write is a warning in the log."""
        self._remote.unsaved = False
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

    def keep_applied(self) -> None:
        """Keeps a commit that a lost session left to be confirmed, where it was applied in full.

        For whoever knows what shall be and plans from what is: taking it back would only be two changes more.
        """
        self._remote.keep_applied = True
