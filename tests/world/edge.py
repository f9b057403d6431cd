"""A real FRR router on the nodes' network that other people have routes on, for tests of whole runs."""

from tests.world.frr import Link

LINKS = [Link("rack", ["10.192.0.254/24", "fd10:192::fe/64"]), Link("uplink", ["192.0.2.2/24"])]
FOREIGN = """
ip route 0.0.0.0/0 192.0.2.1
ip route 172.16.0.0/12 192.0.2.9 tag 900
ip route 10.97.0.0/16 192.0.2.9 tag 4202
vrf red
 ip route 10.96.0.0/12 192.0.2.9 tag 4201
exit-vrf
ip prefix-list EDGE seq 5 permit 10.0.0.0/8 le 32
"""
