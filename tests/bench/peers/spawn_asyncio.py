"""asyncio: start /bin/true and wait for its end, n times, one by one; prints the
nanoseconds of each. usage: spawn_asyncio.py <n> [uvloop]"""
import asyncio
import sys
import time


async def main(n):
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("/bin/true")
        if await process.wait() != 0:
            sys.exit(1)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
n = int(sys.argv[1])
began = time.perf_counter_ns()
asyncio.run(main(n))
print((time.perf_counter_ns() - began) // n)
