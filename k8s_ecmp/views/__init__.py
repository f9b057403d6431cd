"""A plan, or what became of it, for people and machines. Views decide nothing."""
