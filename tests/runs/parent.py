"""A process that starts a child, says its id and waits to be killed (for test_process)."""

import asyncio
import sys
from pathlib import Path

from cellmind_agent.runs import process as process_module


async def main() -> None:
    process_module.PROGRAMS = {"test": "child_for_test"}
    child = await process_module.start_child("test", Path(sys.argv[1]), None, lambda *_: None)  # type: ignore[arg-type]
    await child.call("echo", {}, 20)
    print(child.pid, flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())
