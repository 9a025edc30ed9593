"""Four commands at once in one sandbox, and one whose output is read while it runs."""

import asyncio

from pyro_mcp import AsyncSandbox


async def main() -> None:
    async with AsyncSandbox("debian:12") as box:
        commands = [f"echo {number}; sleep 0.2" for number in range(4)]
        results = await asyncio.gather(*(box.exec(command) for command in commands))
        print("".join(result.stdout for result in results).split())

        async with box.exec_stream("for n in 1 2 3; do echo line $n; sleep 0.1; done") as stream:
            async for source, chunk in stream:
                print(source, chunk.decode(), end="")
            print(f"exit code {(await stream.result()).exit_code}")


asyncio.run(main())
