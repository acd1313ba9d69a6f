"""A TCP proxy between clients and daemon, in a thread: it can cut every connection, or stop passing bytes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path


class Proxy:
    """Listens on a free loopback port; connects to the daemon's Unix socket."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._listens.wait()

    def cut(self) -> None:
        """Ends every connection; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def hold(self) -> None:
        """From now on connections are taken, but no byte is passed."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def go_on(self) -> None:
        """Passes what was held, and all that comes."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._passes.set()
            self._listens.set()

        self._loop.run_until_complete(serve())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(str(self.target))
        except OSError:
            writer.transport.abort()  # no daemon
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._writers -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side was cut
        finally:
            writer.transport.abort()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
