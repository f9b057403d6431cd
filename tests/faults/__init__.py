"""What goes wrong while a reviewed plan is applied, on four kinds of router: `python -m tests.faults` prints the table."""
