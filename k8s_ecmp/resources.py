"""The files that are shipped beside the code: in the wheel inside the package, in a checkout beside it."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = {"templates": "templates", "demo": "inventories/demo"}


def resource_dir(name: str) -> Path:
    """The folder of shipped files of that name.

    Args:
        name: "templates" (one Jinja2 file a platform) or "demo" (an inventory of embedded routers).

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    for folder in (_PACKAGE / name, _PACKAGE.parent / _CHECKOUT[name]):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the installation of k8s-ecmp has no folder {name!r}; install it again")
