"""The official MCP client against `pyro mcp serve`: lists, describes and calls every tool, over standard streams or HTTP.

Run by tests/guest/mcp_python.rs, which gives it the server and a folder of the host. It must not know anything of pyro but what
the server says and what the contract promises. Every result is checked against the schema that its tool declares.
"""

import asyncio
import json
import sys

import jsonschema
from mcp import Client
from mcp import StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client
from mcp.client.streamable_http import streamable_http_client


def connect(how):
    if how["transport"] == "stdio":
        parameters = StdioServerParameters(
            command=how["program"], args=how["arguments"], env=how["environment"], cwd=how["folder"]
        )
        return Client(parameters, read_timeout_seconds=300)
    headers = {"Authorization": f"Bearer {how['token']}"}
    transport = streamable_http_client(how["url"], http_client=create_mcp_http_client(headers=headers))
    return Client(transport, read_timeout_seconds=300)


class Tools:
    """The server's tools, each result checked, each call remembered."""

    def __init__(self, client, tools):
        self.client, self.tools, self.called = client, {tool.name: tool for tool in tools}, set()

    async def __call__(self, tool, **arguments):
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, f"{tool}: {result.content}"
        jsonschema.validate(result.structured_content, self.tools[tool].output_schema)
        jsonschema.validate(arguments, self.tools[tool].input_schema)
        self.called.add(tool)
        return result.structured_content

    async def refused(self, tool, arguments, code):
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, f"{tool} took {arguments}"
        said = result.structured_content
        assert said["code"] == code, f"{tool}: {said}"
        jsonschema.validate(said, self.tools[tool].output_schema)
        assert said["error"] and len(said["error"]) < 3000, said


async def described(client):
    tools = (await client.list_tools()).tools
    for tool in tools:
        assert tool.title and tool.description, tool.name
        assert tool.annotations.read_only_hint is not None, tool.name
        for schema in (tool.input_schema, tool.output_schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object", tool.name
    return tools


def filled(value, kept):
    """The value with what was kept in the place of its names, as tests/guest/mcp_story.rs says."""
    if isinstance(value, str) and value.startswith("@"):
        name, slash, below = value[1:].partition("/")
        return f"{kept[name]}/{below}" if slash else kept[name]
    if isinstance(value, list):
        return [filled(one, kept) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, kept) for name, one in value.items()}
    return value


def at(document, pointer):
    for part in pointer.split("/")[1:]:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def has(found, part):
    if isinstance(found, list):
        return any(one == part or has(one, part) for one in found)
    if isinstance(found, dict):
        return all(name in found and found[name] == one for name, one in part.items())
    return isinstance(found, str) and part in found


async def make(call, one, kept):
    document = await call(one["tool"], **filled(one["arguments"], kept))
    for pointer, what in one["gives"].items():
        found, what = at(document, pointer), filled(what, kept)
        is_it = has(found, what["has"]) if isinstance(what, dict) and "has" in what else found == what
        assert is_it, f"{one['tool']}: {pointer} is not {what}: {document}"
    kept.update({name: at(document, pointer) for name, pointer in one.get("keep", {}).items()})


async def story(call, how):
    with open(how["story"]) as file:
        waves = json.load(file)
    kept = {"root": how["root"]}
    for wave in waves:
        await asyncio.gather(*(make(call, one, kept) for one in wave))
    missed = set(call.tools) - call.called
    assert not missed, f"never called: {sorted(missed)}"


async def hostile(call, of):
    large = "x" * (10 << 20)
    await call.refused("workspace_exec", {"workspace_id": large, "command": "true"}, "workspace_unknown")
    await call.refused("workspace_exec", {**of, "command": 7}, "arguments_invalid")
    await call.refused("workspace_exec", {**of, "command": "true", large[:100]: 1}, "arguments_invalid")
    await call.refused("workspace_exec", {**of, "command": large}, "command_too_large")
    await call.refused("workspace_file_read", {**of, "path": large}, "path_invalid")
    await call.refused("vm_run", {"environment": "debian:12", "command": "true", "allow_host_compat": True}, "host_compat_refused")
    await call.refused("workspace_sync_push", {**of, "source_path": "/etc"}, "path_outside_roots")


async def main(how):
    async with connect(how) as client:
        call = Tools(client, await described(client))
        await story(call, how)
        of = {"workspace_id": (await call("workspace_create", environment="debian:12"))["workspace_id"]}
        await hostile(call, of)
        await call("workspace_delete", **of)
        prompts = (await client.list_prompts()).prompts
        assert len(prompts) == 5
        prompt = await client.get_prompt("repro-fix-loop", {"seed_path": "/p", "check": "make test"})
        assert "make test" in prompt.messages[0].content.text
        assert len((await client.list_resource_templates()).resource_templates) == 3
        print(json.dumps({"tools": len(call.tools), "protocol": client.protocol_version}))


asyncio.run(main(json.loads(sys.argv[1])))
