"""The programs, each once sync and once async: a client's own words, and what the application does with the answer."""

import asyncio
import contextlib
import gc
import inspect
import threading

OUTPUT = "word"
"""What the model says: a reader that leaves early has read it once."""

BUSY_READING = 0.02
"""From the first output to the cancellation: the reader waits for more [s]."""


IN_TIME = ("fail_reading", "starve")
"""Programs that a short time-out ends in their midst, unless the machine is so slow that it ends them before."""


class Sync:
    """Programs of a client that blocks.

    Attributes:
        has_begun: One of `IN_TIME` has come to its midst.
    """

    has_begun = False

    def __init__(self, client):
        self.client = client

    def run(self, shape):
        try:
            getattr(self, shape.does)(getattr(self.client, shape.verb))
        finally:
            self.client.close()

    def _pieces(self, stream):
        return self.client.pieces(stream) if hasattr(self.client, "pieces") else iter(stream)

    def _all(self, stream):
        for _ in self._pieces(stream):
            pass

    def _some(self, stream):
        for piece in self._pieces(stream):
            if OUTPUT in repr(piece):
                break

    def ask(self, verb):
        return verb()

    def read(self, verb):
        self._all(verb())

    def read_without_usage(self, verb):
        self._all(verb(usage=False))

    def break_and_close(self, verb):
        stream = verb()
        self._some(stream)
        self.client.leave(stream)

    def abandon(self, verb):
        stream = verb()
        self._some(stream)
        del stream
        gc.collect()

    def leave_early(self, verb):
        with verb() as stream:
            self._some(stream)

    def hand_over(self, verb):
        stream = verb()
        reader = threading.Thread(target=self._all, args=(stream,))
        reader.start()
        reader.join()

    def read_lines(self, verb):
        with verb() as response:
            for _ in self.client.lines(response):
                pass

    def read_managed(self, verb):
        with verb() as stream:
            for _ in stream:
                pass

    def ask_several(self, several):
        self.client.ask(**several)

    def read_several(self, several):
        self._all(self.client.stream(**several))

    def fail(self, verb):
        self.ask(verb)

    def fail_reading(self, verb):
        for piece in self._pieces(verb()):
            self.has_begun |= OUTPUT in repr(piece)

    def starve(self, hold):
        held = hold()
        self.has_begun = True
        try:
            self.client.ask()
        finally:
            self.client.release(held)


async def settled(value):
    """What ``value`` comes to: some words of an async client are to be awaited, some are not."""
    return await value if inspect.isawaitable(value) else value


class Async:
    """Programs of a client that is awaited; see `Sync`."""

    has_begun = False

    def __init__(self, client):
        self.client = client

    async def run(self, shape):
        try:
            await getattr(self, shape.does)(getattr(self.client, shape.verb))
        finally:
            await settled(self.client.close())

    def _pieces(self, stream):
        return self.client.pieces(stream) if hasattr(self.client, "pieces") else aiter(stream)

    async def _all(self, stream):
        async for _ in self._pieces(stream):
            pass

    async def _some(self, stream):
        async for piece in self._pieces(stream):
            if OUTPUT in repr(piece):
                break

    async def ask(self, verb):
        return await settled(verb())

    async def read(self, verb):
        await self._all(await settled(verb()))

    async def read_without_usage(self, verb):
        await self._all(await settled(verb(usage=False)))

    async def break_and_close(self, verb):
        stream = await settled(verb())
        await self._some(stream)
        await settled(self.client.leave(stream))

    async def abandon(self, verb):
        stream = await settled(verb())
        await self._some(stream)
        del stream
        gc.collect()
        await asyncio.sleep(0.01)

    async def leave_early(self, verb):
        opened = verb()
        # Some streams are managers themselves, some come out of a manager, some are awaited first.
        async with opened if hasattr(opened, "__aenter__") else await opened as stream:
            await self._some(stream)

    async def cancel(self, verb):
        begun = asyncio.Event()
        reading = asyncio.create_task(self._read_on(verb, begun.set))
        await begun.wait()
        await asyncio.sleep(BUSY_READING)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading

    async def time_out(self, verb):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                soon = asyncio.get_running_loop().time
                await self._read_on(verb, lambda: limit.reschedule(soon() + BUSY_READING))

    async def _read_on(self, verb, begin):
        """Read a stream to an end that does not come; ``begin`` is called at the first output."""
        stream = await settled(verb())
        async for piece in self._pieces(stream):
            if OUTPUT in repr(piece):
                begin()

    async def hand_over(self, verb):
        stream = await settled(verb())
        await asyncio.create_task(self._all(stream))

    async def read_lines(self, verb):
        async with verb() as response:
            async for _ in self.client.lines(response):
                pass

    async def read_managed(self, verb):
        async with verb() as stream:
            async for _ in stream:
                pass

    async def ask_several(self, several):
        await settled(self.client.ask(**several))

    async def read_several(self, several):
        await self._all(await settled(self.client.stream(**several)))

    async def fail(self, verb):
        await self.ask(verb)

    async def fail_reading(self, verb):
        async for piece in self._pieces(await settled(verb())):
            self.has_begun |= OUTPUT in repr(piece)

    async def starve(self, hold):
        held = await settled(hold())
        self.has_begun = True
        try:
            await settled(self.client.ask())
        finally:
            await settled(self.client.release(held))
