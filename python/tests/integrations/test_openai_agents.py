"""The sandbox client for the OpenAI Agents SDK, by the SDK's own runner and by itself, with real guests."""

import io
import pathlib
import unittest
import urllib.request

from agents.sandbox import ExecTimeoutError, ExposedPortUnavailableError, LocalSnapshot, Manifest, WorkspaceReadNotFoundError
from agents.sandbox.entries import File
from agents.sandbox.errors import InvalidManifestPathError
from examples import SAID_WHERE, WHERE, ExampleCase
from guests import GuestCase
from models import Call, Model, report

from pyro_mcp.integrations.openai_agents import PyroSandboxClient, PyroSandboxClientOptions


class Example(ExampleCase):
    def test_a_sandbox_agent_works_in_a_guest(self):
        patch = f"*** Begin Patch\n*** Add File: where.sh\n+{WHERE}; cat task.txt\n*** End Patch\n"

        def run(asked):
            self.assertIn("where.sh", asked.results[0])
            return [Call("exec_command", {"cmd": "sh where.sh"})]

        model = Model(lambda _: [Call("apply_patch", patch)], run, report)
        said = self.example("openai_agents_sandbox.py", model, "Where are you?")
        self.assertRegex(said, f"(?s)^It said: .*{SAID_WHERE}\nWhere are you\\?")


class Sessions(GuestCase, unittest.IsolatedAsyncioTestCase):
    async def session(self, **options):
        client = PyroSandboxClient(self.pyro)
        session = await client.create(**options)
        self.addAsyncCleanup(client.delete, session)
        return client, session

    async def test_commands_and_files(self):
        manifest = Manifest(
            entries={"src/a.txt": File(content=b"one\n")}, environment={"value": {"GREETING": "hello"}}
        )
        _, session = await self.session(manifest=manifest)
        async with session:
            ran = await session.exec("cat src/a.txt; echo $GREETING >&2; pwd; exit 3")
            self.assertEqual((ran.exit_code, ran.stdout, ran.stderr), (3, b"one\n/workspace\n", b"hello\n"))
            self.assertEqual((await session.exec("id", "-un", shell=False, user="nobody")).stdout, b"nobody\n")
            with self.assertRaises(ExecTimeoutError):
                await session.exec("echo $$ >pid; exec sleep 1000", timeout=5)
            self.assertNotEqual((await session.exec("kill -0 $(cat pid)")).exit_code, 0)
            content = bytes(range(256)) * 4096
            await session.write(pathlib.Path("deep/er/b.bin"), io.BytesIO(content))
            self.assertEqual((await session.read(pathlib.Path("deep/er/b.bin"))).read(), content)
            with self.assertRaises(WorkspaceReadNotFoundError):
                await session.read(pathlib.Path("none"))
            await session.exec("ln -s /etc/passwd leads-out")
            with self.assertRaises(InvalidManifestPathError):
                await session.read(pathlib.Path("leads-out"))
            names = [pathlib.PurePath(entry.path).name for entry in await session.ls("deep")]
            self.assertEqual([name for name in names if name not in (".", "..")], ["er"])

    async def test_a_port_is_reached_from_the_host(self):
        options = PyroSandboxClientOptions(environment="debian:12-build", exposed_ports=(8000,))
        _, session = await self.session(options=options)
        async with session:
            await session.exec("echo served >index.html; python3 -m http.server 8000 >/dev/null 2>&1 &")
            await session.exec("until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))'; do :; done")
            endpoint = await session.resolve_exposed_port(8000)
            with urllib.request.urlopen(endpoint.url_for("http")) as answer:
                self.assertEqual(answer.read(), b"served\n")
            self.assertEqual(await session.resolve_exposed_port(8000), endpoint)
            with self.assertRaises(ExposedPortUnavailableError):
                await session.resolve_exposed_port(9000)

    async def test_a_session_is_resumed_where_it_was_and_from_its_snapshot_when_that_is_gone(self):
        kept = LocalSnapshot(id="kept", base_path=self.folder())
        client, session = await self.session(snapshot=kept)
        async with session:
            await session.exec("echo work >a.txt; echo of-the-system >/root/mark")
        self.assertFalse(await session.running())
        workspace = session.state.workspace_id
        payload = client.serialize_session_state(session.state)

        again = await client.resume(client.deserialize_session_state(payload))
        self.addAsyncCleanup(client.delete, again)
        async with again:
            self.assertEqual(again.state.workspace_id, workspace)
            self.assertEqual((await again.exec("cat a.txt /root/mark")).stdout, b"work\nof-the-system\n")
        await client.delete(again)

        other = await client.resume(client.deserialize_session_state(payload))
        self.addAsyncCleanup(client.delete, other)
        async with other:
            self.assertNotEqual(other.state.workspace_id, workspace)
            self.assertEqual((await other.exec("cat a.txt; test ! -e /root/mark && echo anew")).stdout, b"work\nanew\n")
        await client.delete(other)
        self.assertEqual(self.pyro.list_workspaces()["count"], 0)


if __name__ == "__main__":
    unittest.main()
