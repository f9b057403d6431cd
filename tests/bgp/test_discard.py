"""`services.discard_unserved` beside BGP peers: static routers get the route that drops, a peer's plan goes on without."""

from pathlib import Path

import pytest

from tests.bgp.edge import WANTED, nodes, require
from tests.world.bgp import BgpWorld, await_services, frr_config
from tests.world.fib import FibHistory
from tests.world.objects import Port, ServiceState

pytestmark = pytest.mark.world

NGINX = "default/nginx"


def test_a_service_without_endpoints_holds_up_nothing(tmp_path: Path) -> None:
    require()
    with BgpWorld(tmp_path) as world:
        static = world.add_static("static", 1)
        frr = world.add_frr("frr", 2, frr_config())
        world.write_settings(services={"discard_unserved": True})
        world.start()
        with FibHistory(frr.netns) as kernel:
            ports = (Port(80, 8080, "http", node_port=30604),)
            world.cluster.add_service(ServiceState(NGINX, ("10.96.0.1",), ports, type="NodePort"))
            world.cluster.change_service(NGINX, external_policy="Local")
            world.cluster.scale(NGINX, "n2")
            world.program()
            await_services(kernel, {**WANTED, "10.96.0.1/32": ["10.9.0.102"]})

            # Its endpoint goes, and a node comes at the same time.
            world.cluster.scale(NGINX)
            world.add_node(4)
            planned = world.program()
            (edge,) = [router for router in planned["routers"] if router["name"] == "frr"]
            assert edge["status"] == "changes"
            assert any("10.96.0.1/32" in skip["reason"] and "discard" in skip["reason"] for skip in planned["skipped"])
            await_services(kernel, nodes(1, 2, 3, 4))
        assert "10.96.0.1/32 blackhole" in static.vtysh("show running-config")
