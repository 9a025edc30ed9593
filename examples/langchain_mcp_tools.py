"""LangChain with `langchain-mcp-adapters`: the tools are those of `pyro mcp serve`, and the answer is streamed.

    pip install langchain langchain-openai langchain-mcp-adapters
    OPENAI_API_KEY=... python examples/langchain_mcp_tools.py "Make a git repository with one commit, and show its log."
"""

import asyncio
import os
import sys

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI

# What a session made is deleted when it ends. `--root DIR` would let the tools read and write a folder of this host.
SERVER = {
    "transport": "stdio",
    "command": "pyro",
    "args": ["mcp", "serve", "--profile", "workspace-core", "--ephemeral"],
}


async def main(question: str) -> None:
    # One session for the whole conversation, so that its workspaces stay until the end.
    async with MultiServerMCPClient({"pyro": SERVER}).session("pyro") as session:
        tools = await load_mcp_tools(session)
        agent = create_agent(ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5-mini")), tools=tools)
        asked = {"messages": [{"role": "user", "content": question}]}
        async for message, _ in agent.astream(asked, stream_mode="messages"):
            if isinstance(message, AIMessageChunk):
                print(message.text, end="", flush=True)
    print()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Make a git repository with one commit, and show its log."))
