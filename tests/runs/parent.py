"""A process that starts a child, prints its process id and waits to be killed (for test_process)."""

import asyncio
import sys
from pathlib import Path

from cellmind_agent.runs import process as process_module
from tests.runs.child_for_test import Echo


async def main() -> None:
    process_module.PROGRAMS = {"test": "tests.runs.child_for_test"}
    child = await process_module.start_child(
        "test", Path(sys.argv[1]), process_module.serve_nothing, lambda event: None
    )
    await child.call(Echo(word=""), 20)
    print(child.pid, flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())
