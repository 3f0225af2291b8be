"""A simulated cell for tests: the product decides (`planning/rounds`, `planning/succession` and others), and what acts
is simulated: links, clocks, disks and trainers. A test chooses what happens next, so any order can be tried.

The files `member`, `succession`, `attending` and `leading` act in the order of `cellmind_agent/runs/`.
"""
