"""What is installed: the programs, the types, the examples, and what an import costs in modules."""

import importlib.metadata
import json
import subprocess
import sys
import unittest

import pyro_mcp
from guests import REPOSITORY, GuestCase
from pyro_mcp._program import program


def prints(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Package(unittest.TestCase):
    def test_the_program_comes_with_it_and_has_its_version(self):
        version = f"pyro {pyro_mcp.__version__}\n"
        self.assertEqual(prints(program(), "--version"), version)
        self.assertEqual(prints(sys.executable, "-m", "pyro_mcp", "--version"), version)
        self.assertEqual(importlib.metadata.version("pyro-mcp"), pyro_mcp.__version__)

    def test_python_m_ends_with_the_programs_exit_code(self):
        done = subprocess.run([sys.executable, "-m", "pyro_mcp", "nonsense"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)

    def test_without_its_program_the_package_says_so(self):
        code = "import os; os.access = lambda *_: False; from pyro_mcp import Pyro, HostError\n"
        code += "try: Pyro()\nexcept HostError as error: print(error.code, '|', error.hint, '|', error)"
        said = prints(sys.executable, "-I", "-c", code)
        self.assertRegex(said, r"^host_failed \| install the package again, with pip \| .*/bin/pyro ")

    def test_type_checkers_are_told(self):
        files = {str(file) for file in importlib.metadata.files("pyro-mcp")}
        self.assertLessEqual({"pyro_mcp/py.typed", "pyro_mcp/_native.pyi"}, files)

    def test_one_wheel_serves_every_python_from_3_11_on(self):
        wheel = importlib.metadata.distribution("pyro-mcp").read_text("WHEEL")
        self.assertRegex(wheel, r"Tag: cp311-abi3-\S*linux\S*x86_64")

    def test_an_import_loads_nothing_heavy(self):
        code = "import sys, json, pyro_mcp; print(json.dumps(sorted(sys.modules)))"
        loaded = set(json.loads(prints(sys.executable, "-I", "-c", code)))
        heavy = {"asyncio", "typing", "dataclasses", "inspect", "subprocess", "importlib.metadata", "pyro_mcp.aio"}
        self.assertEqual(loaded & heavy, set())


class Server(GuestCase):
    def test_the_server_speaks_mcp_on_standard_input_and_output(self):
        asked = [
            {
                "method": "initialize",
                "id": 1,
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "test", "version": "1"},
                },
            },
            {"method": "notifications/initialized"},
            {"method": "tools/list", "id": 2},
        ]
        code = f"from pyro_mcp import Pyro; Pyro(base_dir={self.state!r}).create_server('vm-run').run()"
        server = self.python(code, stdin=subprocess.PIPE)
        for message in asked:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()
        answers = {}
        while 2 not in answers:
            answer = json.loads(server.stdout.readline())
            answers[answer.get("id")] = answer
        self.assertEqual([tool["name"] for tool in answers[2]["result"]["tools"]], ["vm_run"])
        # The client goes away, and so does the server.
        server.communicate()
        self.assertEqual(server.returncode, 0)


class Examples(GuestCase):
    def example(self, name):
        return prints(sys.executable, str(REPOSITORY / "examples" / name), env=self.surroundings()).splitlines()

    def test_one_command(self):
        version, end = self.example("python_run.py")
        self.assertRegex(version, r"^git version 2\.")
        self.assertRegex(end, r"^exit code 0, isolation (hardware|emulated)$")

    def test_step_by_step(self):
        lines = self.example("python_lifecycle.py")
        self.assertEqual(lines[:2], ["created, created", "started"])
        self.assertRegex(lines[2], r"^git version 2\.")
        self.assertEqual(lines[3:], ["deleted, so workspace_unknown"])

    def test_a_workspace(self):
        self.assertEqual(
            self.example("python_workspace.py"),
            ["from the seed", "from the host, later", "['note.txt']", "from the seed"],
        )

    def test_at_once(self):
        lines = self.example("python_async.py")
        self.assertEqual(lines, ["['0', '1', '2', '3']", "stdout line 1", "stdout line 2", "stdout line 3", "exit code 0"])


if __name__ == "__main__":
    unittest.main()
