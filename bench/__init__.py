"""Every speed claim as a command: `python -m bench [NAME ...]`. Ratios are measured in one run, side by side."""
