"""The texts that `python -m bench syntaxes` measures are what each platform reads: an error there would be seen late."""

import pytest

from bench.syntaxes import FORMS, running_config
from k8s_ecmp.platforms import get_platform


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_whole(form: str) -> None:
    running = get_platform(form.partition("-")[0]).parse(running_config(form, prefixes=3, hops=2))
    assert [len(route.next_hops) for route in running.routes] == [2] * 4
    assert {hop.tag for route in running.routes for hop in route.next_hops} == {4201}
