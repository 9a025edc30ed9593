"""LangChain's deepagents: the agent's files and commands are those of a sandbox.

    pip install 'pyro-mcp[deepagents]' langchain-openai
    OPENAI_API_KEY=... python examples/deepagents_backend.py "Write a script that counts words, and try it on itself."
"""

import os
import sys

from deepagents import create_deep_agent
from langchain_openai import ChatOpenAI

from pyro_mcp import Sandbox
from pyro_mcp.integrations.deepagents import PyroBackend

question = sys.argv[1] if len(sys.argv) > 1 else "Write a script that counts words, and try it on itself."
with Sandbox("debian:12") as box:
    agent = create_deep_agent(
        model=ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5-mini")),
        backend=PyroBackend(box),
        system_prompt="Your machine is a Debian 12 without a network. Your work is in /workspace.",
    )
    state = agent.invoke({"messages": [{"role": "user", "content": question}]})
    print(state["messages"][-1].text)
    print("changed:", *(entry["path"] for entry in box.diff().entries))
