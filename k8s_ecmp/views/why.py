"""The answer to `why PREFIX` as text for a terminal or a pipe."""

from typing import TYPE_CHECKING

from k8s_ecmp.core.explain import Answer, RouterAnswer
from k8s_ecmp.views.page import Page

if TYPE_CHECKING:
    from rich.console import Console


def print_answer(answer: Answer, console: "Console | None" = None) -> None:
    """Shows the answer: the verdict, then every node's part and every router's selection."""
    page = Page(console)
    page.prose(f"{answer.prefix}: {answer.verdict}", style="bold", hang=2)
    route = answer.route or answer.covered_by
    if route is not None:
        of = "" if answer.route is not None else f" ({route.prefix})"
        page.prose(f"asked for by{of}: {', '.join(route.sources)}", indent=2, hang=4)
    for skip in answer.skipped:
        page.prose(f"{skip.object}: {skip.reason}", indent=2, hang=4)
    if answer.nodes:
        page.line()
        page.line(("Nodes", "bold"))
        page.told([(node.node, ", ".join(node.next_hops) or "-", node.reason) for node in answer.nodes], indent=2)
    if answer.routers:
        page.line()
        page.line(("Routers", "bold"), ": the next hops that each shall have")
        for router in answer.routers:
            _router(page, router)
    page.show()


def _router(page: Page, router: RouterAnswer) -> None:
    vrf = "" if router.vrf == "default" else f" (VRF {router.vrf})"
    hops = page.few(router.next_hops, ", ") or "no next hop"
    page.prose(f"{router.router}{vrf}: {hops}", indent=2, hang=4)
    for note in router.notes:
        page.prose(note, indent=4, hang=6)
    if router.running is not None:
        page.prose(f"runs there: {router.running}", indent=4, hang=6)
