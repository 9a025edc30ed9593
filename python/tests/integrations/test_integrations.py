"""`pyro_mcp.integrations`: what each framework's own code makes of it, and its interface by itself, with real guests."""

import asyncio
import inspect
import unittest

from deepagents.backends.protocol import BackendProtocol, SandboxBackendProtocol
from examples import SAID_WHERE, WHERE, ExampleCase
from guests import ENVIRONMENT, GuestCase
from models import Call, Model, Say, call, report
from pydantic_ai import ModelRetry
from smolagents.utils import AgentExecutionError

from pyro_mcp import AsyncWorkspace, Sandbox
from pyro_mcp.integrations.deepagents import EDIT_BYTES_MAX, OUTPUT_BYTES_MAX, READ_BYTES_MAX, PyroBackend
from pyro_mcp.integrations.pydantic_ai import PyroToolset
from pyro_mcp.integrations.smolagents import PyroExecutor

BUILD = "debian:12-build"


class Examples(ExampleCase):
    def test_a_deep_agent_works_in_a_sandbox(self):
        def run(asked):
            self.assertIn("where.sh", asked.results[0])
            return [Call("execute", {"command": "sh where.sh"})]

        model = Model(
            call("write_file", file_path="/workspace/where.sh", content=f"{WHERE}\n"),
            call("edit_file", file_path="/workspace/where.sh", old_string=WHERE, new_string=f"{WHERE}; exit 3"),
            run,
            report,
        )
        said = self.example("deepagents_backend.py", model, "Where are you?")
        self.assertRegex(said, f"^It said: {SAID_WHERE}\n(.|\n)*exit code 3(.|\n)*\nchanged: where.sh\n$")

    def test_an_agent_of_pydantic_ai_works_in_a_sandbox(self):
        def mend(asked):
            self.assertIn("nothing.sh", asked.results[0])
            return [Call("write_file", {"path": "where.sh", "text": WHERE})]

        model = Model(call("read_file", path="nothing.sh"), mend, call("run_command", command="sh where.sh"), report)
        said = self.example("pydantic_ai_toolset.py", model, "Where are you?")
        self.assertRegex(said, f"^It said: exit code 0\nstdout:\n{SAID_WHERE}\nchanged: where.sh\n$")

    def test_a_code_agent_of_smolagents_runs_python_in_a_guest(self):
        def step(code):
            return lambda _: Say(f"Thought: I try.\n<code>\n{code}\n</code>")

        def answer(asked):
            self.assertRegex(asked.text, "here is pyro-[0-9a-f]{12}")
            return Say("Thought: I know.\n<code>\nfinal_answer({'host': host, 'sum': sum(range(10))})\n</code>")

        model = Model(step("import os\nhost = os.uname().nodename\nprint('here is', host)"), answer)
        said = self.example("smolagents_executor.py", model, "Where are you?")
        self.assertRegex(said, r"^\{'host': 'pyro-[0-9a-f]{12}', 'sum': 45\}\n$")


class DeepAgents(GuestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.box = Sandbox.create(ENVIRONMENT, client=cls.pyro)
        cls.backend = PyroBackend(cls.box)

    def test_the_whole_protocol_is_there_with_its_parameters(self):
        for protocol in (BackendProtocol, SandboxBackendProtocol):
            for name, theirs in vars(protocol).items():
                if name.startswith("_") or not callable(theirs):
                    continue
                ours = getattr(PyroBackend, name)
                expected, found = (list(inspect.signature(one).parameters) for one in (theirs, ours))
                self.assertEqual(found, expected, name)
                # What waits is ours; what awaits may be the protocol's, which calls it on another thread.
                if not inspect.iscoroutinefunction(theirs):
                    self.assertIsNot(ours, theirs, name)

    def test_commands(self):
        self.assertEqual(self.backend.id, self.box.id)
        ran = self.backend.execute("pwd; echo err >&2; exit 3")
        self.assertEqual((ran.exit_code, sorted(ran.output.split()), ran.truncated), (3, ["/workspace", "err"], False))
        self.assertEqual(self.backend.execute("sleep 1000", timeout=1).exit_code, 124)
        long = self.backend.execute(f"head -c {OUTPUT_BYTES_MAX + 1} /dev/zero")
        self.assertEqual((len(long.output), long.truncated, long.exit_code), (OUTPUT_BYTES_MAX, True, 0))

    def test_a_cancelled_task_ends_its_command(self):
        async def cancel():
            task = asyncio.create_task(self.backend.aexecute("echo $$ >cancelled.pid; exec sleep 1000", timeout=0))
            await asyncio.to_thread(self.wait_in_guest, self.box.id, "[ -s cancelled.pid ]")
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        self.wait_in_guest(self.box.id, "! kill -0 $(cat cancelled.pid) 2>/dev/null")

    def test_lines_are_read_and_read_on(self):
        path = "/workspace/lines/a.txt"
        self.assertEqual(self.backend.write(path, "one\r\ntwo\nthree\n").path, path)
        first = self.backend.read(path, limit=2)
        self.assertEqual(first.file_data["content"], "one\ntwo")
        self.assertEqual((first.start_line, first.end_line, first.next_offset), (1, 2, 2))
        rest = self.backend.read(path, offset=first.next_offset)
        self.assertEqual((rest.file_data["content"], rest.start_line, rest.next_offset), ("three", 3, None))
        self.assertIn("before line 10", self.backend.read(path, offset=9).error)
        self.assertTrue(self.backend.read(path, limit=0).no_lines_requested)
        self.assertEqual(self.backend.read(path, offset=-5, limit=1).file_data["content"], "one")
        self.backend.write("/workspace/lines/empty", "")
        self.assertEqual(self.backend.read("/workspace/lines/empty").file_data["content"], "")
        self.backend.write("/workspace/lines/long", f"short\n{'x' * READ_BYTES_MAX}\nlast\n")
        long = self.backend.read("/workspace/lines/long")
        self.assertEqual((long.file_data["content"], long.next_offset), ("short", 1))
        cut = self.backend.read("/workspace/lines/long", offset=1)
        self.assertEqual((len(cut.file_data["content"]), cut.next_offset), (READ_BYTES_MAX, 2))
        self.assertEqual(self.backend.read("/workspace/lines/long", offset=2).file_data["content"], "last")
        self.assertTrue(self.backend.read("/workspace/lines").error)
        self.assertTrue(self.backend.read("/workspace/lines/none").error)

    def test_texts_are_replaced_once_or_everywhere(self):
        path = "/workspace/edits/a.txt"
        self.backend.write(path, "a b a\r\nc\r\n")
        self.assertIn("2 times", self.backend.edit(path, "a", "x").error)
        self.assertEqual(self.backend.edit(path, "a", "x", replace_all=True).occurrences, 2)
        # Lines as the model saw them.
        self.assertEqual(self.backend.edit(path, "x\nc", "y\nd").occurrences, 1)
        self.assertEqual(self.backend.download_files([path])[0].content, b"x b y\r\nd\r\n")
        self.assertIn("not found", self.backend.edit(path, "nothing", "x").error)
        self.assertTrue(self.backend.edit("/workspace/edits/none", "a", "b").error)
        self.backend.upload_files([("/workspace/edits/binary", b"\xff\x00a"), (path, b"a" * (EDIT_BYTES_MAX + 1))])
        for unfit in ("/workspace/edits/binary", path):
            self.assertIn("no text of at most", self.backend.edit(unfit, "a", "b").error)

    def test_files_go_in_and_out_as_they_are(self):
        content = bytes(range(256)) * 8192
        places = ["/workspace/raw/deep/a.bin", "/tmp/raw.bin"]
        sent = self.backend.upload_files([(path, content) for path in places] + [("relative", b""), ("/workspace", b"")])
        self.assertEqual([one.error for one in sent], [None, None, "invalid_path", "is_directory"])
        got = self.backend.download_files([*places, "/none", "/workspace/raw", "relative", f"{places[0]}/below"])
        self.assertEqual([one.content for one in got[:2]], [content, content])
        self.assertEqual(
            [one.error for one in got],
            [None, None, "file_not_found", "is_directory", "invalid_path", "file_not_found"],
        )
        self.backend.upload_files([("/workspace/raw/small", b"\xff\x00")])
        read = self.backend.read("/workspace/raw/small")
        self.assertEqual((read.file_data["encoding"], read.file_data["content"]), ("base64", "/wA="))
        self.assertIn("more than", self.backend.read(places[0]).error)

    def test_files_are_found(self):
        root = "/workspace/found"
        for path in ("a.py", "src/b.py", "src/deep/c.txt", ".hidden/d.py", ".env"):
            self.backend.write(f"{root}/{path}", "needle (x)\nhay\n")

        def found(pattern):
            return sorted(one["path"].removeprefix(f"{root}/") for one in self.backend.glob(pattern, root).matches)

        self.assertEqual(found("*.py"), [".hidden/d.py", "a.py", "src/b.py"])
        self.assertEqual(found("**/*.py"), ["a.py", "src/b.py"])
        self.assertEqual(found("/*.py"), ["a.py"])
        self.assertEqual(found("src/**/*.{py,txt}"), ["src/b.py", "src/deep/c.txt"])
        self.assertEqual((found("*env"), found(".env")), ([], [".env"]))
        self.assertIn("leads out", self.backend.glob("../*").error)
        listed = {one["path"]: one["is_dir"] for one in self.backend.ls(root).entries}
        self.assertEqual((listed[f"{root}/a.py"], listed[f"{root}/src"]), (False, True))
        self.assertTrue(self.backend.ls(f"{root}/none").error)

        hits = self.backend.grep("needle (x)", root, "*.txt")
        self.assertEqual(hits.matches, [{"path": f"{root}/src/deep/c.txt", "line": 1, "text": "needle (x)"}])
        self.assertEqual(self.backend.grep("needle.*", root).matches, [])
        few = self.backend.grep("hay", f"{root}/src", max_count=1)
        self.assertEqual((len(few.matches), few.truncated), (1, True))
        self.assertFalse(self.backend.grep("hay", f"{root}/src", max_count=2).truncated)

        self.assertEqual(self.backend.delete(root).path, root)
        self.assertIn("not found", self.backend.delete(root).error)


class PydanticAi(GuestCase):
    def test_a_sandbox_lives_while_the_toolset_is_entered(self):
        async def life():
            toolset = PyroToolset(ENVIRONMENT, client=self.pyro)
            async with toolset, toolset:
                await toolset.write_file("src/a.txt", "one\n")
                self.assertEqual(await toolset.read_file("src/a.txt"), "one\n")
                self.assertEqual(await toolset.read_file("src/a.txt", 2), "on\n[the beginning of 4 bytes]")
                self.assertEqual(await toolset.list_files(recursive=True), ["/workspace/src/", "/workspace/src/a.txt"])
                self.assertEqual(await toolset.search_files("^o"), ["/workspace/src/a.txt:1: one"])
                await toolset.apply_patch("--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1 +1 @@\n-one\n+two\n")
                self.assertEqual(await toolset.run_command("cat src/a.txt; exit 2"), "exit code 2\nstdout:\ntwo\n")
                with self.assertRaises(ModelRetry):
                    await toolset.apply_patch("nonsense")
                self.assertEqual(self.pyro.list_workspaces()["count"], 1)
            self.assertEqual(self.pyro.list_workspaces()["count"], 0)

        asyncio.run(life())

    def test_a_workspace_that_was_given_stays(self):
        async def life():
            workspace = await AsyncWorkspace.create(ENVIRONMENT, client=self.pyro)
            toolset = PyroToolset(workspace=workspace)
            async with toolset:
                await toolset.write_file("a.txt", "one\n")
            self.assertEqual((await workspace.files.read("a.txt")).content, "one\n")
            await workspace.delete()

        asyncio.run(life())


class SmolAgents(GuestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.box = Sandbox.create(BUILD, client=cls.pyro)

    def executor(self, *imports, **options):
        executor = PyroExecutor(imports, workspace=self.box, **options)
        self.addCleanup(executor.cleanup)
        return executor

    def test_steps_remember_and_fail_and_go_on(self):
        executor = self.executor()
        first = executor("x = 20\nprint('begun')\nx + 1")
        self.assertEqual((first.output, first.logs, first.is_final_answer), ("21", "begun\n", False))
        with self.assertRaises(AgentExecutionError) as raised:
            executor("print('before')\n1 / 0")
        self.assertRegex(str(raised.exception), r"before\n(.|\n)*ZeroDivisionError")
        with self.assertRaises(AgentExecutionError):
            executor("this is no Python")
        executor.send_variables({"given": {"a": [1, (2, 3)]}})
        self.assertEqual(executor("given['a'][1][0] + x").output, "22")

    def test_a_step_that_takes_too_long_or_ends_the_interpreter_is_told(self):
        executor = self.executor()
        # The first is ended by the clock, the second by itself.
        for code, seconds in (("while True: pass", 1), ("import os; os._exit(3)", 3600)):
            executor.timeout_seconds = 60
            self.assertEqual(executor("'x' in globals()").output, "False")
            executor("x = 1")
            executor.timeout_seconds = seconds
            with self.assertRaises(AgentExecutionError) as raised:
                executor(code)
            self.assertIn("all variables are gone", str(raised.exception))

    def test_imports_have_to_be_in_the_environment(self):
        self.executor("json")
        with self.assertRaises(AgentExecutionError) as raised:
            self.executor("numpy")
        self.assertIn("numpy", str(raised.exception))

    def test_nothing_that_comes_back_is_unpickled(self):
        with self.assertRaises(Exception) as raised:
            self.executor()("class FinalAnswerException(BaseException): value = 'pickle:gASVAAAA'\nraise FinalAnswerException")
        self.assertIn("Pickle data rejected", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
