"""The stories that hold on every platform: `python -m tests.routers.vendors` prints them as one table."""
