"""Plans whose every text from routers and clusters is somebody's attack, and the same plans with harmless texts."""

from hypothesis import strategies as st

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import Conflict, GuardTrip, NextHop, Plan, Prefix, RouteChange, RouterPlan, Skipped
from tests.views.plans import hops, plan_of, verdict

PAYLOADS = (
    "</code></pre></details><script>alert(1)</script>",
    "```\n</details>\n# owned\n```diff",
    "~~~\n````\n`````",
    "` `` ``` a`",
    "| a | b |\n|---|---|",
    "[x](javascript:alert(1)) ![y](https://evil.example/z.png)",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "--> <!-- ]]> <![CDATA[",
    "@everyone #1 !2 ~label %milestone :tada: $x$ GH-1 owner/repo#5 www.evil.example",
    "/close\n/merge",
    "&lt;b&gt;&#60;script&#62;&amp;",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u202c\u2066x\u2069\u200b",
    "\x00\x07\x1b]0;x\x07\x1b[2J\x9b1m\r\n\x0b\x0c\x85\u2028\u2029\ufeff\ufffe",
    "אבג 10.0.0.1",
    "**bold** _it_ ***",
    "\\",
    "\\| \\` \\\\",
    "- x\n1. y\n> z\n---\n===",
    "    code",
    " ",
)
texts = st.one_of(
    st.sampled_from(PAYLOADS),
    st.lists(st.sampled_from(PAYLOADS), min_size=2, max_size=3).map("".join),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
)


def plan_with(text: str) -> tuple[Plan, dict[str, NodeVerdict]]:
    """A plan that says the text wherever a router or a cluster may say something."""
    changes = (
        RouteChange("create", "default", Prefix.parse("10.0.0.0/8"), (), hops("10.9.0.1"), (f"because {text}",)),
        RouteChange(
            "update",
            f"v{text}",
            Prefix.parse("10.1.0.0/16"),
            (NextHop(address="10.9.0.1", interface=f"e{text}"), *hops("10.9.0.3")),
            hops("10.9.0.2", "10.9.0.3"),
            (f"one {text}", f"two {text}"),
        ),
    )
    trips = (GuardTrip("panic", f"r{text}", None, f"x {text}"), GuardTrip("last-next-hop", f"r{text}", P, f"y {text}"))
    routers = (
        RouterPlan(
            f"r{text}",
            f"p{text}",
            "blocked",
            None,
            changes,
            (Conflict(f"v{text}", Prefix.parse("10.2.0.0/16"), f"not ours: {text}"),),
            trips,
            diff=f"+{text}\n {text}\n",
        ),
        RouterPlan(f"s{text}", f"p{text}", "failed", error=f"failed: {text}"),
    )
    plan = plan_of(*routers, skipped=(Skipped(f"Service {text}", f"why {text}"),))
    plan = Plan(
        **{name: getattr(plan, name) for name in plan.__struct_fields__}
        | {"owner": f"o{text}", "cluster_source": f"c{text}"}
    )
    name = f"n{text}"
    return plan, {name: verdict(name, "10.9.0.2", standing="out", reason=f"gone {text}"), "m": verdict("m", "10.9.0.1")}


P = Prefix.parse("10.3.0.0/16")
