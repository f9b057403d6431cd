"""What an Arista switch's own diff of a session may show beside the plan."""

import pytest

from k8s_ecmp.platforms import get_platform

EOS = get_platform("eos")
RUNNING = EOS.parse(
    """\
hostname r1
!
interface Ethernet1
   shutdown
!
ip route 10.96.0.0/12 10.0.0.1 tag 4201 name prod-eu1
ip route 10.96.0.0/12 10.0.0.2 tag 4201 name prod-eu1
!
end
"""
)
COMMANDS = "ip route 10.96.0.0/12 10.0.0.3 tag 4201 name prod-eu1\nno ip route 10.96.0.0/12 10.0.0.1\n"
OURS = "ip route 10.96.0.0/12 10.0.0.{} tag 4201 name prod-eu1"
PLANNED = """\
@@ -4,5 +4,5 @@
    shutdown
 !
-ip route 10.96.0.0/12 10.0.0.1 tag 4201 name prod-eu1
 ip route 10.96.0.0/12 10.0.0.2 tag 4201 name prod-eu1
+ip route 10.96.0.0/12 10.0.0.3 tag 4201 name prod-eu1
 !
 end
"""


def test_the_plan_alone():
    headers = "--- system:/running-config\n+++ session:/k8s-ecmp-session-config\n"
    assert EOS.foreign_lines(PLANNED, RUNNING, COMMANDS) == []
    assert EOS.foreign_lines(headers + PLANNED, RUNNING, COMMANDS) == []
    assert EOS.foreign_lines("", RUNNING, "") == []
    assert EOS.foreign_lines("", RUNNING, COMMANDS) == []  # the switch has it already


def test_a_first_block_brings_its_separator():
    added = "ipv6 route fd43::/108 fd00::1 tag 4201 name prod-eu1"
    assert EOS.foreign_lines(f"@@ -8,1 +8,3 @@\n !\n+{added}\n+!\n end\n", RUNNING, f"{added}\n") == []


def test_a_line_that_only_moves():
    moved = OURS.format(2)
    diff = f"-{moved}\n{PLANNED.replace(f' {moved}', f'+{moved}')}"
    assert EOS.foreign_lines(diff, RUNNING, COMMANDS) == []


@pytest.mark.parametrize(
    ("lines", "foreign"),
    [
        ("+hostname r2", ["+ hostname r2"]),
        ("-hostname r1\n+hostname r2", ["- hostname r1", "+ hostname r2"]),
        ("-   shutdown", ["-   shutdown"]),
        ("-   shutdown\n interface Ethernet2\n+   shutdown", ["-   shutdown", "+   shutdown"]),
        (f"+   {OURS.format(3)}", [f"+   {OURS.format(3)}"]),
        (f"-{OURS.format(2)}", [f"- {OURS.format(2)}"]),
        ("+ip route 10.96.0.0/12 10.0.0.3 tag 4201", ["+ ip route 10.96.0.0/12 10.0.0.3 tag 4201"]),
        ("+ip route vrf red 10.96.0.0/12 10.0.0.3", ["+ ip route vrf red 10.96.0.0/12 10.0.0.3"]),
    ],
)
def test_what_is_foreign(lines: str, foreign: list[str]):
    assert EOS.foreign_lines(f"{PLANNED}{lines}\n", RUNNING, COMMANDS) == foreign
