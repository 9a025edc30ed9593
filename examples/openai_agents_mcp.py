"""OpenAI Agents SDK with `pyro mcp serve` as its MCP server, and the answer streamed.

    pip install openai-agents
    OPENAI_API_KEY=... python examples/openai_agents_mcp.py "Which kernel does a guest run?"
"""

import asyncio
import os
import sys

from agents import Agent, Runner
from agents.mcp import MCPServerStdio

SERVER = {"command": "pyro", "args": ["mcp", "serve", "--profile", "workspace-core", "--ephemeral"]}


async def main(question: str) -> None:
    # A start may take longer than the SDK's five seconds where guests are emulated.
    async with MCPServerStdio(params=SERVER, client_session_timeout_seconds=300) as server:
        agent = Agent(
            name="Operator",
            instructions="Use the tools, and answer with what they said.",
            model=os.environ.get("OPENAI_MODEL", "gpt-5-mini"),
            mcp_servers=[server],
        )
        result = Runner.run_streamed(agent, question)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                print(event.data.delta, end="", flush=True)
    print()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Which kernel does a guest run, and what is its name?"))
