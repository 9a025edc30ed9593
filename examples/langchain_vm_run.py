"""LangChain: an agent with a tool that runs commands in guests.

    pip install langchain langchain-openai
    OPENAI_API_KEY=... python examples/langchain_vm_run.py "Which version of git does Debian 12 have?"
"""

import os
import sys

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI

from pyro_mcp import Pyro, PyroError

OUTPUT_MAX = 20_000


@tool
def vm_run(command: str, timeout_seconds: int = 30) -> str:
    """Run a shell command in a fresh Debian 12 machine with git. It has no network, and nothing of it stays."""
    try:
        result = Pyro().run_in_vm(environment="debian:12", command=command, timeout_seconds=timeout_seconds)
    except PyroError as error:
        return f"{error} (hint: {error.hint})"
    output = result["stdout"] + result["stderr"]
    return f"{output[-OUTPUT_MAX:]}\nexit code {result['exit_code']}"


question = sys.argv[1] if len(sys.argv) > 1 else "Which kernel does the machine of your tool run, and what is its name?"
agent = create_agent(ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5-mini")), tools=[vm_run])
state = agent.invoke({"messages": [{"role": "user", "content": question}]})
print(state["messages"][-1].text)
