"""How the ranks of a run meet: the store, the process groups, and the `Group` that a trainer works with."""
