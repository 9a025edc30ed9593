"""smolagents: a CodeAgent whose Python runs in a guest.

    pip install 'pyro-mcp[smolagents]' openai
    OPENAI_API_KEY=... python examples/smolagents_executor.py "What is the 100th prime number?"
"""

import os
import sys

from smolagents import CodeAgent, OpenAIModel

from pyro_mcp.integrations.smolagents import PyroExecutor

question = sys.argv[1] if len(sys.argv) > 1 else "What is the 100th prime number?"
model = OpenAIModel(model_id=os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
executor = PyroExecutor(environment="debian:12-build")
# What the agent may import is the guest's affair: there is nothing else to protect in it.
agent = CodeAgent(tools=[], model=model, executor=executor, additional_authorized_imports=["*"], verbosity_level=0)
try:
    print(agent.run(question))
finally:
    agent.cleanup()
