"""A day of events, 10^6 of them, through a whole daemon: does its memory stay as it is?"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.results import Row

EVENTS = 1_000_000
_WARM = 0.2  # of the way; what is remembered for a while has filled by then


def soak() -> list[Row]:
    """Memory after the warm-up, at every hundredth of the way."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        log = Path(place) / "k8s-ecmp.log"
        command = [sys.executable, "-m", "bench.soaking", place, str(EVENTS)]
        with log.open("wb") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert "wrong" in done.stdout, f"ended early with {done.returncode}: {log.read_text()[-2000:]}"
        assert not said[-1]["wrong"], f"not as decided: {said[-1]['wrong'][:5]}"
    warm = [sample["rss_mb"] for sample in said if sample.get("events", 0) >= _WARM * EVENTS]
    growth = (max(warm) / min(warm) - 1) * 100
    took, commits = said[-1]["at"] - said[0]["at"], said[-1]["commits"]
    what = f"a day of {EVENTS:,} events"
    return [
        Row("soak", f"{what}: growth of memory after the first fifth", growth, None, "<= 10 %", growth <= 10, "%"),
        Row("soak", f"{what}: memory at its end", said[-1]["rss_mb"], None, "-", True, "MB"),
        Row("soak", f"{what}: time, with {commits:,} commits to a router of driver file", took, None, "-", True),
    ]
