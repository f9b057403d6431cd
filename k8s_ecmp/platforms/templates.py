"""Jinja2 templates of commands: those that are shipped, and users' own. jinja2 is imported at the first use."""

from functools import lru_cache
from typing import TYPE_CHECKING

from k8s_ecmp.resources import resource_dir

if TYPE_CHECKING:
    import jinja2


@lru_cache(maxsize=16)
def shipped(name: str) -> "jinja2.Template":
    """The template of a syntax that comes with the package."""
    return compiled((resource_dir("templates") / f"{name}.j2").read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def compiled(text: str) -> "jinja2.Template":
    """A template that fails on names that it is not given.

    Raises:
        jinja2.TemplateSyntaxError: it is none.
    """
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  router commands, no HTML
    )
    return environment.from_string(text)
