"""Real things for the tests: network namespaces, FRR routers, and what is built from them."""
