"""A proxy for one HTTP server on loopback that fails every so many requests, each time in another way.

usage: fault_proxy.py LISTEN_PORT SERVER_PORT EVERY
"""
import asyncio
import itertools
import sys

FAULTS = ["503", "reset", "500", "cut answer", "slow", "no answer"]


async def read_head(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        return None


def length_of(head):
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


class Proxy:
    def __init__(self, server_port, every):
        self.server_port, self.every = server_port, every
        self.requests = itertools.count(1)
        self.faults = itertools.cycle(FAULTS)
        self.failed = 0
        # The event loop alone does not keep a task.
        self.tasks = set()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def one(self, reader, writer):
        """One request and its answer. The connection to the server is a new one each time."""
        head = await read_head(reader)
        if head is None:
            return False
        method = head.split(b" ", 1)[0]
        fault = next(self.faults) if next(self.requests) % self.every == 0 else None
        self.failed += fault is not None
        body = await reader.readexactly(length_of(head))
        if fault in ("503", "500"):
            writer.write(b"HTTP/1.1 %s Fault\r\nContent-Length: 0\r\n\r\n" % fault.encode())
            await writer.drain()
            return True
        if fault == "reset":
            return False
        if fault == "slow":
            await asyncio.sleep(0.3)
        there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        try:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            back.write(lines[0] + b"\r\nConnection: close\r\n" + b"\r\n".join(lines[1:]) + body)
            await back.drain()
            answer = await there.read(-1)
        finally:
            back.close()
        if fault == "no answer":
            # The server has done what was asked, and nobody hears of it.
            return False
        if fault == "cut answer" and method == b"GET":
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return False


async def main():
    listen, server, every = map(int, sys.argv[1:4])
    proxy = Proxy(server, every)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", listen, limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
