"""Routers that take BGP: one central ExaBGP announces the routes, and answers like a router to the transaction.

`bridge` and what it imports use the standard library alone: ExaBGP runs it as its process.
"""
