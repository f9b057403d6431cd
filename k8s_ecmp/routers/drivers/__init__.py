"""The project's own drivers, with NAPALM's method names: `frr` (FRR over SSH) and `file` (the embedded router)."""
