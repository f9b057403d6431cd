"""Documents that people write, as structs: each value keeps its line, and every mistake is named with its place.

`items` reads YAML into values that know their lines, `builder` checks them against msgspec structs, `kinds` are the
kinds of values that settings have.
"""
