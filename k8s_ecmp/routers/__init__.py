"""Routers out: the Nornir inventory, connections, and the transaction on each router."""
