"""OpenAI Agents SDK: a SandboxAgent, whose shell and files are those of a guest.

    pip install 'pyro-mcp[openai-agents]'
    OPENAI_API_KEY=... python examples/openai_agents_sandbox.py "Write a script that counts words, and try it on itself."
"""

import asyncio
import os
import sys

from agents import RunConfig, Runner
from agents.sandbox import Manifest, SandboxAgent, SandboxRunConfig
from agents.sandbox.capabilities import Filesystem, Shell
from agents.sandbox.entries import File

from pyro_mcp.integrations.openai_agents import PyroSandboxClient


async def main(question: str) -> None:
    agent = SandboxAgent(
        name="Coder",
        instructions="Work in the sandbox, and answer with what you saw there.",
        model=os.environ.get("OPENAI_MODEL", "gpt-5-mini"),
        capabilities=[Filesystem(), Shell()],
        default_manifest=Manifest(entries={"task.txt": File(content=question.encode())}),
    )
    # The runner makes the sandbox, and deletes it at the end.
    sandbox = SandboxRunConfig(client=PyroSandboxClient())
    result = await Runner.run(agent, question, run_config=RunConfig(sandbox=sandbox))
    print(result.final_output)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Write a script that counts words, and try it on itself."))
