"""The eligible nodes of one family with their addresses, kept in order while they come and go."""

from bisect import bisect_left, insort

from k8s_ecmp.core.placing import Hops
from k8s_ecmp.model import address_key


class Everyone:
    """The eligible nodes of one family with their addresses, kept in order."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._keys: list[tuple[int, bytes]] = []
        self._addresses: list[str] = []
        self._carriers: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        at = bisect_left(self._names, name)
        return at < len(self._names) and self._names[at] == name

    def change(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """The node's addresses, none where it is not eligible."""
        if before and not after:
            del self._names[bisect_left(self._names, name)]
        if after and not before:
            insort(self._names, name)
        for address in after:
            count = self._carriers.get(address, 0)
            self._carriers[address] = count + 1
            if not count:
                key = address_key(address)
                at = bisect_left(self._keys, key)
                self._keys.insert(at, key)
                self._addresses.insert(at, address)
        for address in before:
            self._carriers[address] -= 1
            if not self._carriers[address]:
                del self._carriers[address]
                at = bisect_left(self._keys, address_key(address))
                del self._keys[at], self._addresses[at]

    def hops(self) -> Hops:
        return Hops(tuple(self._names), tuple(self._addresses))
