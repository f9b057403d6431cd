"""Which addresses of a configuration a router should know a way to."""

import pytest

from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.addresses import addresses_of

IOS = """version 16.9
hostname r1
interface GigabitEthernet0/1
 ip address 10.1.0.1 255.255.255.0
 ipv6 address FE80::1 link-local
 ipv6 address 2001:DB8:0:1::1/64
interface GigabitEthernet0/2
 ip address dhcp
 mac-address 0000.5e00.5301
!
ip route 10.8.0.0 255.255.0.0 10.1.0.9
ip route 10.9.0.0 255.255.0.0 Null0
ip route vrf red 10.8.0.0 255.255.0.0 10.2.0.9
end
"""


@pytest.mark.parametrize(
    ("vrf", "like", "found"),
    [
        ("default", ["10.192.0.1"], ("10.1.0.9", "10.1.0.1")),
        ("red", ["10.192.0.1"], ("10.2.0.9", "10.1.0.1")),
        ("default", ["fd10::1"], ("2001:db8:0:1::1",)),
        ("default", ["fd10::1", "10.192.0.1"], ("10.1.0.9", "10.1.0.1", "2001:db8:0:1::1")),
    ],
)
def test_next_hops_of_the_vrf_and_addresses_of_interfaces(vrf: str, like: list[str], found: tuple[str, ...]) -> None:
    assert addresses_of(get_platform("ios").parse(IOS), vrf, like) == found


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        ("eos", "interface Vlan10\n   ip address 10.1.0.1/24\n"),
        ("nxos", "interface Vlan10\n  ip address 10.1.0.1/24 secondary\n"),
        ("iosxr", "interface Gi0/0/0/0\n ipv4 address 10.1.0.1 255.255.255.0\n!\nend\n"),
        (
            "junos",
            "interfaces {\n    xe-0/0/0 {\n        unit 0 {\n            family inet {\n"
            "                address 10.1.0.1/24;\n            }\n        }\n    }\n}\n",
        ),
    ],
)
def test_each_platform_writes_an_interfaces_address_in_a_form_that_is_found(platform: str, line: str) -> None:
    assert addresses_of(get_platform(platform).parse(line), "default", ["10.192.0.1"]) == ("10.1.0.1",)


def test_there_are_few() -> None:
    routes = "".join(f"ip route 10.8.{n}.0 255.255.255.0 10.1.0.{n}\n" for n in range(1, 100))
    interfaces = "".join(f"interface Vlan{n}\n ip address 10.2.{n}.1 255.255.255.0\n" for n in range(1, 100))
    found = addresses_of(
        get_platform("ios").parse(f"version 16.9\nhostname r1\n{interfaces}{routes}end\n"), "default", ["10.192.0.1"]
    )
    assert len(found) == 16
    assert {address.rpartition(".")[0] for address in found} >= {"10.1.0", "10.2.1"}
