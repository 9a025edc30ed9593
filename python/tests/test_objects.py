"""Stories told by real guests through objects: sandboxes and workspaces, waited for and awaited, and streams."""

import asyncio
import unittest

import pyro_mcp
from guests import ENVIRONMENT, GuestCase
from pyro_mcp import AsyncSandbox, AsyncWorkspace, CommandFailed, ExecResult, Sandbox, Workspace
from test_guest import MEET


class Objects(GuestCase):
    def test_a_sandbox_is_gone_after_its_block(self):
        with self.assertRaises(ZeroDivisionError), Sandbox(ENVIRONMENT, client=self.pyro, name="box") as box:
            known = box.id
            self.assertEqual(self.pyro.status_workspace("box")["workspace_id"], known)
            1 / 0
        with self.assertRaises(pyro_mcp.NotFoundError):
            self.pyro.status_workspace(known)

    def test_a_workspace_stops_after_its_block_and_keeps_its_data(self):
        with Workspace.create(ENVIRONMENT, client=self.pyro, name="kept") as kept:
            self.addCleanup(kept.delete)
            kept.files.write("note", "stays")
        self.assertEqual(kept.info()["state"], "stopped")
        again = Workspace.open("kept", client=self.pyro)
        again.start()
        self.assertEqual(again.files.read("note").content, "stays")

    def test_results_are_typed(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            result = box.exec(["printf", "%s|", "two words", "$HOME"], env={"X": "y"}, cwd="/tmp")
            self.assertIsInstance(result, ExecResult)
            self.assertEqual((result.stdout, result.ok, result.cwd), ("two words|$HOME|", True, "/tmp"))
            self.assertEqual(result.raw["sequence"], result.sequence)
            self.assertEqual(box.exec("echo $X:$(id -un)", env={"X": "y"}, user="nobody").stdout, "y:nobody\n")
            failed = box.exec("echo because >&2; exit 5")
            self.assertEqual((failed.exit_code, failed.ok), (5, False))
            with self.assertRaisesRegex(CommandFailed, "ended with 5: because") as raised:
                box.exec("echo because >&2; exit 5", check=True)
            self.assertEqual(raised.exception.code, "command_failed")
            late = box.exec("sleep 1000", timeout_seconds=1)
            self.assertEqual((late.timed_out, late.exit_code), (True, 124))

    def test_files_snapshots_services_and_shells_hang_on_the_workspace(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            box.files.write("src/a.txt", "one\n")
            self.assertEqual([entry.artifact_type for entry in box.files.list(recursive=True)], ["directory", "file"])
            self.assertEqual(box.snapshots.create("first").snapshot_name, "first")
            box.files.write("src/a.txt", "two\n")
            self.assertIn("+two", box.diff().patch)
            box.reset("first")
            self.assertEqual(box.files.read("src/a.txt").content, "one\n")
            self.assertEqual([snapshot.kind for snapshot in box.snapshots.list()], ["baseline", "named"])
            web = box.services.start(
                "web",
                "touch up; exec sleep 1000",
                readiness={"type": "file", "path": "up"},
                publish=[8000],
            )
            self.assertEqual((web.state, web.published_ports[0]["guest_port"]), ("running", 8000))
            self.assertEqual(box.services.stop("web").state, "stopped")
            with box.shell() as shell:
                shell.write("echo $((40 + 2))")
                text = ""
                while "\n42" not in text:
                    text += shell.read(wait_for_idle_ms=50).output

    def test_children_begin_where_their_parent_is(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            box.files.write("note", "shared")
            children = box.fork(2, name_prefix="child")
            self.addCleanup(lambda: [child.delete() for child in children])
            for number, child in enumerate(children):
                child.files.write("note", f"own {number}")
            self.assertEqual(box.files.read("note").content, "shared")
            self.assertEqual([child.files.read("note").content for child in children], ["own 0", "own 1"])
            self.assertEqual({child.info()["name"] for child in children}, {"child-1", "child-2"})

    def test_a_job_outlives_who_started_it(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            begun = box.exec_detached("echo begun; until [ -e go ]; do sleep 0.05; done; exit 7").id
            job = box.job(begun)
            self.assertEqual((job.wait(1).state, job.wait(1).exit_code), ("running", None))
            box.files.write("go", "")
            ended = job.wait(60)
            self.assertEqual((ended.state, ended.exit_code, job.output().stdout), ("exited", 7, "begun\n"))
            other = box.exec_detached("sleep 1000")
            other.signal("KILL")
            self.assertEqual(other.wait(60).exit_code, 137)

    def test_files_are_found_moved_and_brought_back(self):
        here = self.folder()
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            box.files.write("src/a.c", "int main;\n// TODO: args\n")
            found = box.files.search("TODO", glob=["*.c"])
            self.assertEqual([(one["path"], one["line"]) for one in found], [("/workspace/src/a.c", 2)])
            box.files.move("src/a.c", "src/b.c")
            self.assertEqual(box.files.stat("src/b.c").size_bytes, 24)
            box.pull("src", here / "out")
            self.assertTrue((here / "out" / "b.c").exists())
            box.files.delete("src", recursive=True)
            self.assertEqual(box.files.list(), [])

    def test_a_port_and_a_secret_come_and_go(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            port = box.ports.publish(8000)
            self.assertEqual((port.guest_port, port.host), (8000, "127.0.0.1"))
            self.assertEqual(box.ports.list(), [port])
            box.ports.remove(port.host_port)
            self.assertEqual(box.ports.list(), [])
            box.secrets.set("TOKEN", "hidden-value-5678")
            self.assertEqual(box.secrets.list(), ["TOKEN"])
            self.assertEqual(box.exec("echo $T", secret_env={"TOKEN": "T"}).stdout, "[REDACTED]\n")
            box.secrets.remove("TOKEN")
            self.assertEqual(box.secrets.list(), [])

    def test_what_is_printed_is_read_while_the_command_runs(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            command = "echo first; until [ -e go ]; do sleep 0.05; done; echo second >&2; exit 6"
            with box.exec_stream(command) as stream:
                self.assertEqual(next(stream), ("stdout", b"first\n"))
                box.files.write("go", "")
                self.assertEqual(list(stream), [("stderr", b"second\n")])
                result = stream.result()
            self.assertEqual((result.exit_code, result.command), (6, command))

    def test_a_stream_is_exact_and_longer_than_what_may_wait(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            sent = bytes(range(256)) * 8192
            with box.exec_stream(["cat"], input=sent) as stream:
                got = b"".join(chunk for source, chunk in stream if source == "stdout")
            self.assertEqual(got, sent)
            # Nobody reads for a while, in which it could have printed all of that many times: the command waits, and goes on.
            with box.exec_stream("head -c 16000000 /dev/zero; echo written >&2; touch done") as stream:
                first = next(stream)
                for _ in range(20):
                    self.assertFalse(box.exec("test -e done").ok)
                rest = stream.result()
            self.assertEqual(len(first[1]) + len(rest.stdout), 16_000_000)
            self.assertEqual(rest.stderr, "written\n")

    def test_a_stream_that_is_left_ends_its_command(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            with box.exec_stream("echo $$; exec sleep 1000") as stream:
                process = next(stream)[1].decode().strip()
            self.assertTrue(box.exec(f"while kill -0 {process} 2>/dev/null; do sleep 0.05; done").ok)
            with self.assertRaises(pyro_mcp.CancelledCallError):
                stream.result()

    def test_a_stream_of_a_command_that_cannot_be_run_fails(self):
        with Sandbox(ENVIRONMENT, client=self.pyro) as box:
            with self.assertRaises(pyro_mcp.CommandError) as raised:
                list(box.exec_stream(["no-such-program"]))
            self.assertEqual(raised.exception.code, "command_not_found")
            with self.assertRaises(pyro_mcp.InvalidArgumentError):
                box.exec_stream([])


class Awaited(GuestCase, unittest.IsolatedAsyncioTestCase):
    async def test_four_commands_at_once(self):
        async with AsyncSandbox(ENVIRONMENT, client=self.pyro) as box:
            runs = await asyncio.gather(*(box.exec(MEET.format(number)) for number in range(4)))
            self.assertEqual([run.stdout for run in runs], ["0\n", "1\n", "2\n", "3\n"])

    async def test_a_cancelled_task_ends_its_command(self):
        async with AsyncSandbox(ENVIRONMENT, client=self.pyro) as box:
            task = asyncio.create_task(box.exec("echo $$ >begun; exec sleep 1000", timeout_seconds=2000))
            await box.exec("until [ -s begun ]; do sleep 0.05; done", check=True)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await box.exec("while kill -0 $(cat begun) 2>/dev/null; do sleep 0.05; done", check=True)

    async def test_what_is_printed_is_awaited_while_the_command_runs(self):
        async with AsyncSandbox(ENVIRONMENT, client=self.pyro) as box:
            command = "echo first; until [ -e go ]; do sleep 0.05; done; echo second >&2; exit 6"
            async with box.exec_stream(command) as stream:
                self.assertEqual(await anext(stream), ("stdout", b"first\n"))
                await box.files.write("go", "")
                self.assertEqual([chunk async for chunk in stream], [("stderr", b"second\n")])
                self.assertEqual((await stream.result()).exit_code, 6)

    async def test_a_workspace_is_made_and_found(self):
        made = await AsyncWorkspace.create(ENVIRONMENT, client=self.pyro, name="awaited")
        found = await AsyncWorkspace.open("awaited", client=self.pyro)
        self.assertEqual((found.id, (await found.info())["state"]), (made.id, "started"))
        job = await found.exec_detached("echo done; exit 3")
        self.assertEqual(((await job.wait(60)).exit_code, (await job.output()).stdout), (3, "done\n"))
        await made.delete()

    async def test_failures_are_the_same_exceptions(self):
        with self.assertRaises(pyro_mcp.NotFoundError) as raised:
            await AsyncWorkspace.open("nobody", client=self.pyro)
        self.assertEqual(raised.exception.code, "workspace_unknown")
        async with AsyncSandbox(ENVIRONMENT, client=self.pyro) as box:
            with self.assertRaises(CommandFailed):
                await box.exec("false", check=True)
            async with await box.shell() as shell:
                await shell.write("echo $((40 + 2))")
                text = ""
                while "\n42" not in text:
                    text += (await shell.read(wait_for_idle_ms=50)).output


if __name__ == "__main__":
    unittest.main()
