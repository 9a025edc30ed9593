"""OpenAI's Responses API with a tool loop: the model runs commands in guests until it has an answer.

    pip install openai
    OPENAI_API_KEY=... python examples/openai_responses_vm_run.py "Which version of git does Debian 12 have?"
"""

import os
import sys

from agent_vm_run import VM_RUN, vm_run
from openai import OpenAI

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
TURNS_MAX = 10

client = OpenAI()
question = sys.argv[1] if len(sys.argv) > 1 else "Which kernel does the machine of your tool run, and what is its name?"
conversation = [{"role": "user", "content": question}]
for _ in range(TURNS_MAX):
    response = client.responses.create(
        model=MODEL, input=conversation, tools=[{"type": "function", "strict": True, **VM_RUN}]
    )
    calls = [item for item in response.output if item.type == "function_call"]
    if not calls:
        print(response.output_text)
        break
    conversation += response.output
    for call in calls:
        print(f"{call.name} {call.arguments}", file=sys.stderr)
        conversation.append(
            {"type": "function_call_output", "call_id": call.call_id, "output": vm_run(call.arguments)}
        )
else:
    sys.exit(f"no answer after {TURNS_MAX} turns")
