"""A relay as a process of its own, to be killed: ``python -m tests.triggers.relay_process URL NAME=URL …``."""

import asyncio
import sys

from store.database import Database
from triggers.dispatcher import Dispatcher
from triggers.relay import Relay


async def main() -> None:
    url, *others = sys.argv[1:]
    database = Database(url)
    connections = dict(other.split("=", 1) for other in others)
    print("relaying", flush=True)  # noqa: T201  # the test waits for it
    await Relay(database, Dispatcher(database, "test-watches"), connections).run_forever()


if __name__ == "__main__":
    asyncio.run(main())
