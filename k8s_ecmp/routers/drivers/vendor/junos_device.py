"""PyEZ's `Device`, for which a warning of the router is no refusal.

RFC 6241, 4.3: <rpc-error> has a severity, and a reply with warnings alone is one of success. Junos answers a commit
that is in force with `<commit-results><rpc-error>...warning...</rpc-error>...<commit-success/>`, where a licence lacks,
for example. PyEZ raises the same errors for that as for a refusal, unless it is told which warnings to ignore
(`ignore_warning`), and then nobody learns of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jnpr.junos import Device, jxml
from jnpr.junos.exception import RpcError
from lxml import etree

from k8s_ecmp.routers.drivers.vendor.netconf_errors import Found, only_warnings

# Not open-configuration, whose only warning is that a private candidate ends with its session.
_EDITS = frozenset(
    {
        "commit-configuration",
        "load-configuration",
        "lock-configuration",
        "unlock-configuration",
        "close-configuration",
    }
)
_NOTHING_DELETED = "statement not found"


class HeedingDevice(Device):  # type: ignore[misc]
    """One session.

    Args:
        heed: called with each warning of an edit or of a comparison that was done all the same.
    """

    def __init__(self, *args: Any, heed: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heed = heed

    def execute(self, rpc_cmd: Any, ignore_warning: Any = False, **kwargs: Any) -> Any:
        """As PyEZ's. Warnings beside the answer to a question are errors, because it may lack something.

        Raises:
            RpcError: the router refused it, or there was nothing to delete, which is a warning to Junos.
        """
        rpc_cmd = etree.XML(rpc_cmd) if isinstance(rpc_cmd, str) else rpc_cmd
        edits = rpc_cmd.tag in _EDITS
        compares = not edits and rpc_cmd.get("compare") is not None
        try:
            answer = super().execute(rpc_cmd, ignore_warning=ignore_warning, **kwargs)
        except RpcError as error:
            warnings = only_warnings(found(one) for one in error.errs or ())
            if not warnings or not (edits or compares) or any(_NOTHING_DELETED in one for one in warnings):
                raise
            answer = True if edits else super().execute(rpc_cmd, ignore_warning=True, **kwargs)
            if compares and answer is True:  # a warning instead of an answer
                raise
        else:
            if not edits or not etree.iselement(answer):
                return answer
            # Where <ok/> stands beside them, ncclient does not look at them.
            errors = [jxml.rpc_error(one) for one in answer.getroottree().iter("rpc-error")]
            warnings = only_warnings(map(found, errors))
            if warnings is None:
                raise RpcError(cmd=rpc_cmd, errs=errors)
        for warning in warnings:
            self._heed(warning)
        return answer


def found(error: Mapping[str, str | None]) -> Found:
    """An error as PyEZ reads it: its severity, and its text with the place in the configuration."""
    words = (error.get("edit_path"), error.get("message"), error.get("bad_element"))
    return Found(error.get("severity"), " ".join(" ".join(filter(None, words)).split()))
