"""Variables of a trainer's environment that must be set before its Python starts. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

# By default glibc returns large blocks to the kernel when a step frees them. The next step asks for the same blocks
# again, and the kernel must clear every page of them.
_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),  # blocks below 4 GiB come from the heap, which keeps them
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),  # the heap returns memory only when 8 GiB at its end are free
    "MALLOC_TOP_PAD_": str(256 << 20),  # the heap grows in few large pieces
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's own: large tensors lie in huge pages, if the system allows these
}


def trainer_environment(given: Mapping[str, str], platform: str) -> dict[str, str]:
    """The variables to add to a trainer's environment, when the agent's own is `given`.

    A variable that a person has set stays as it is. A preloaded library is probably another allocator, so nothing is
    added to it. Only glibc reads these variables (torch the last one); other systems ignore them.
    """
    if platform != "linux" or given.get("LD_PRELOAD"):
        return {}
    return {name: text for name, text in _VARIABLES.items() if name not in given}
