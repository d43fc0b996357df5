"""A network that fails on demand: a TCP proxy on this machine that resets, stalls or refuses connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """Passes bytes to a server on this machine; `reset` and `stalled` are what networks do to them."""

    def __init__(self, port: int) -> None:
        self.n_accepted = self.n_reset = 0
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._listening = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = int(self._listening.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_accepted += 1
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        self._open |= {writer, to_writer}
        await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))
        self._open -= {writer, to_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def reset(self) -> None:
        """Cut every connection with a reset, in both directions; new ones are accepted."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    async def _reset(self) -> None:
        for writer in list(self._open):
            known: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed at this very moment
                known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self.n_reset += 1

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Connections stay open and pass nothing on; what was sent arrives afterwards."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flows.set)

    def close(self) -> None:
        self.reset()
        self._loop.call_soon_threadsafe(self._listening.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
