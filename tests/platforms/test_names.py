"""Every platform is what `Platform` asks for, and is had by its name."""

import pytest

from k8s_ecmp.errors import UnsupportedPlatform
from k8s_ecmp.platforms import bgp, eos, frr, get_platform, ios, iosxr, junos, nxos
from k8s_ecmp.platforms.base import Platform

PLATFORMS: tuple[Platform, ...] = (
    bgp.PLATFORM,
    eos.PLATFORM,
    frr.PLATFORM,
    ios.PLATFORM,
    iosxr.PLATFORM,
    junos.PLATFORM,
    nxos.PLATFORM,
)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_a_platform_is_had_by_its_name(platform: Platform) -> None:
    assert get_platform(platform.name) is platform


def test_there_is_no_other() -> None:
    with pytest.raises(UnsupportedPlatform) as refused:
        get_platform("cisco")
    assert refused.value.remedy == f"one of: {', '.join(platform.name for platform in PLATFORMS)}"
