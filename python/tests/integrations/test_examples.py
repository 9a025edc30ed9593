"""The examples for OpenAI's packages, LangChain and any agent, each run as a user runs it, its model played by a script."""

import json
import re
import subprocess
import sys
import unittest

from examples import SAID_WHERE, WHERE, ExampleCase
from guests import REPOSITORY
from models import Call, Model, Say, call, report

EXAMPLES = REPOSITORY / "examples"


class Agents(ExampleCase):
    def test_what_a_model_gets_from_vm_run(self):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "agent_vm_run.py")],
            env=self.surroundings(),
            capture_output=True,
            text=True,
            check=True,
        )
        ran, refused, unread = (json.loads(line) for line in done.stdout.splitlines())
        self.assertEqual((ran["exit_code"], ran["stderr"]), (0, ""))
        self.assertRegex(ran["stdout"], r"^git version 2\..*\n\S+-cloud-amd64\n$")
        self.assertEqual((refused["code"], bool(refused["hint"])), ("arguments_invalid", True))
        self.assertIn("as the tool describes them", unread["error"])


class OpenAi(ExampleCase):
    def test_responses_call_a_tool_until_there_is_an_answer(self):
        def two(asked):
            self.assertEqual(asked.tools.keys(), {"vm_run"})
            self.assertIn("its name?", asked.text)
            commands = (WHERE, "echo $((6 * 7)) >&2; exit 3")
            return [Call("vm_run", {"command": command, "timeout_seconds": 30}) for command in commands]

        def answer(asked):
            where, failed = map(json.loads, asked.results)
            self.assertEqual((failed["exit_code"], failed["stdout"], failed["stderr"]), (3, "", "42\n"))
            return Say(f"This is {where['stdout']}")

        said = self.example("openai_responses_vm_run.py", Model(two, answer))
        self.assertRegex(said, f"^This is {SAID_WHERE}\n\n$")

    def test_an_agent_of_the_agents_sdk_works_in_a_workspace(self):
        def run(asked):
            self.assertEqual(asked.results, ["24 characters are in where.sh"])
            return [Call("run", {"command": "sh where.sh", "timeout_seconds": 30})]

        said = self.example(
            "openai_agents_tools.py",
            Model(call("write_file", path="where.sh", text=f"{WHERE}; cat where.sh\n"), run, report),
        )
        self.assertRegex(said, f"^It said: {SAID_WHERE}\n{WHERE}; cat where.sh\n\nexit code 0\nchanged: where.sh\n$")

    def test_an_agent_of_the_agents_sdk_uses_the_mcp_server(self):
        model = mcp_story(self)
        self.assertRegex(self.example("openai_agents_mcp.py", model), f"^The guest is {SAID_WHERE}\n$")
        self.assertTrue(all(asked.streamed for asked in model.asked))


class LangChain(ExampleCase):
    def test_an_agent_calls_a_tool(self):
        model = Model(call("vm_run", command=WHERE), report)
        said = self.example("langchain_vm_run.py", model, "Where are you?")
        self.assertRegex(said, f"^It said: {SAID_WHERE}\n\nexit code 0\n$")
        self.assertIn("Where are you?", model.asked[0].text)

    def test_an_agent_has_the_tools_of_the_mcp_server(self):
        model = mcp_story(self)
        self.assertRegex(self.example("langchain_mcp_tools.py", model), f"^The guest is {SAID_WHERE}\n$")
        self.assertTrue(all(asked.streamed for asked in model.asked))


def mcp_story(case):
    """A model that makes a workspace with the server's tools, uses it, and makes a mistake."""

    def begin(asked):
        case.assertEqual(len(asked.tools), 16)
        return [Call("workspace_create", {"environment": "debian:12", "name": "story"})]

    def write(asked):
        case.assertIn("story", asked.results[0])
        return [Call("workspace_file_write", {"workspace_id": "story", "path": "where.sh", "text": WHERE})]

    def err(_):
        return [Call("workspace_exec", {"workspace_id": "nobody", "command": "true"})]

    def run(asked):
        case.assertIn("workspace_unknown", asked.results[0])
        return [Call("workspace_exec", {"workspace_id": "story", "command": "sh where.sh"})]

    def tidy(asked):
        found.append(re.search(SAID_WHERE, asked.results[0]))
        case.assertTrue(found[0], asked.results)
        return [Call("workspace_delete", {"workspace_id": "story"})]

    def answer(_):
        return Say(f"The guest is {found[0][0]}")

    found = []
    return Model(begin, write, err, run, tidy, answer)


class Configurations(ExampleCase):
    def test_a_programs_configuration_is_what_connect_prints(self):
        for host, name in (("claude-desktop", "claude_desktop"), ("cursor", "cursor")):
            with self.subTest(host):
                ours = json.loads((EXAMPLES / f"{name}_mcp_config.json").read_text())
                (root,) = (one for one in ours["mcpServers"]["pyro"]["args"] if one.startswith("/"))
                # Nothing is at the example's root on this host.
                printed = json.loads(self.command("host", "connect", host, "--print", "--root", str(self.programs)))
                entry = printed["mcpServers"]["pyro"]
                # As a user has it whose PATH has the program.
                self.assertRegex(entry["command"], r"/bin/pyro$")
                entry["command"] = "pyro"
                entry["args"] = [root if one == str(self.programs) else one for one in entry["args"]]
                self.assertEqual(printed, ours)

    def test_every_example_is_listed_and_run(self):
        listed = set(re.findall(r"\(([a-z_]+\.(?:py|json))\)", (EXAMPLES / "README.md").read_text()))
        self.assertEqual(listed, {path.name for path in EXAMPLES.iterdir() if path.name != "README.md"})
        tests = "".join(path.read_text() for path in (REPOSITORY / "python/tests").rglob("test_*.py"))
        not_run = {name for name in listed if name.endswith(".py") and f'"{name}"' not in tests}
        self.assertEqual(not_run, set())


if __name__ == "__main__":
    unittest.main()
