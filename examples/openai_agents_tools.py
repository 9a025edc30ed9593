"""OpenAI Agents SDK with function tools on one workspace: what the model does in it stays until the end.

    pip install openai-agents
    OPENAI_API_KEY=... python examples/openai_agents_tools.py "Write a script that prints the date, and run it."
"""

import asyncio
import os
import sys

from agents import Agent, RunContextWrapper, Runner, function_tool

from pyro_mcp import AsyncSandbox

OUTPUT_MAX = 20_000


@function_tool
async def run(context: RunContextWrapper[AsyncSandbox], command: str, timeout_seconds: int) -> str:
    """Run a shell command in the workspace, a Debian 12 machine without a network. It begins in /workspace."""
    result = await context.context.exec(command, timeout_seconds=timeout_seconds)
    output = result.stdout + result.stderr
    return f"{output[-OUTPUT_MAX:]}\nexit code {result.exit_code}"


@function_tool
async def write_file(context: RunContextWrapper[AsyncSandbox], path: str, text: str) -> str:
    """Write a file of the workspace, with the folders above it."""
    await context.context.files.write(path, text)
    return f"{len(text)} characters are in {path}"


async def main(question: str) -> None:
    agent = Agent(
        name="Coder",
        instructions="Work in the workspace, and answer with what you saw there.",
        model=os.environ.get("OPENAI_MODEL", "gpt-5-mini"),
        tools=[run, write_file],
    )
    async with AsyncSandbox("debian:12") as box:
        result = await Runner.run(agent, question, context=box)
        print(result.final_output)
        print("changed:", *(entry["path"] for entry in (await box.diff()).entries))


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Write a script that prints the date, and run it."))
