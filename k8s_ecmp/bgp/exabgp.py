"""ExaBGP as this project runs it: `python -m k8s_ecmp.bgp.exabgp server FILE`, with Python's garbage collection set."""

import runpy

from k8s_ecmp.memory import collect_rarely

if __name__ == "__main__":
    collect_rarely()  # its paths are many small objects that live to the end
    runpy.run_module("exabgp", run_name="__main__", alter_sys=True)
