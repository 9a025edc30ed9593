"""One command in a guest of its own; nothing is left of it."""

from pyro_mcp import Pyro

pyro = Pyro()
result = pyro.run_in_vm(
    environment="debian:12",
    command="git --version",
    timeout_seconds=30,
    network=False,
)
print(result["stdout"], end="")
print(f"exit code {result['exit_code']}, isolation {result['isolation']}")
