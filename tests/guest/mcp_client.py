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


async def environments(call):
    listed = await call("vm_list_environments")
    assert "debian:12" in [one["name"] for one in listed["environments"]]
    assert (await call("environment_inspect", environment="debian:12"))["installed"]
    pulled = await call("environment_pull", environment="debian:12")
    assert pulled["installed"] and pulled["reused"], pulled
    await call("environment_prune")


async def files(call, of):
    await call("workspace_file_write", **of, path="src/a.txt", text="one\ntwo\n")
    assert (await call("workspace_file_read", **of, path="src/a.txt", line_start=2))["content"] == "two\n"
    assert (await call("workspace_file_list", **of, recursive=True))["count"] >= 2
    assert (await call("workspace_file_search", **of, pattern="tw."))["count"] == 1
    assert (await call("workspace_file_stat", **of, path="src/a.txt"))["size_bytes"] == 8
    await call("workspace_file_move", **of, path="src/a.txt", to="b.txt")
    patch = "--- a/b.txt\n+++ b/b.txt\n@@ -1,2 +1,2 @@\n-one\n+three\n two\n"
    assert (await call("workspace_patch_apply", **of, patch=patch))["modified"] == 1
    assert (await call("workspace_diff", **of))["changed"]
    await call("workspace_file_delete", **of, path="src", recursive=True)


async def commands(call, of):
    ran = await call("workspace_exec", **of, command="printf '%s' \"$KEY\"; exit 3", secret_env={"API_KEY": "KEY"})
    assert (ran["exit_code"], ran["stdout"]) == (3, "[REDACTED]"), ran
    job = (await call("workspace_exec", **of, command="echo begun; sleep 600", timeout_seconds=0, detach=True))["job_id"]
    printed = ""
    # Until it has printed; one that never does has ended at some time.
    while printed != "begun\n":
        waited = await call("workspace_job_wait", **of, job_id=job, timeout_seconds=1)
        assert waited["wait_timed_out"] and waited["state"] == "running", waited
        printed = (await call("workspace_job_logs", **of, job_id=job))["stdout"]
    await call("workspace_job_signal", **of, job_id=job, signal="KILL", tree=True)
    assert (await call("workspace_job_wait", **of, job_id=job, timeout_seconds=60))["exit_code"] == 137
    assert (await call("workspace_job_list", **of))["count"] == 2
    assert (await call("workspace_logs", **of))["entries"][0]["exit_code"] == 3


async def secrets(call, of):
    await call("secret_set", **of, secrets=[{"name": "API_KEY", "value": "correct horse"}])
    assert (await call("secret_list", **of))["secrets"][0]["name"] == "API_KEY"


async def shells(call, of):
    shell = {**of, "shell_id": (await call("shell_open", **of))["shell_id"]}
    await call("shell_resize", **shell, cols=80, rows=24)
    await call("shell_write", **shell, input="echo $((6*7))")
    read = await call("shell_read", **shell, plain=True, wait_for="42", timeout_seconds=60)
    assert read["matched"] and "42" in read["output"]
    await call("shell_signal", **shell)
    assert (await call("shell_list", **of))["running_count"] == 1
    assert (await call("shell_close", **shell))["closed"]


async def services(call, of):
    command = "echo service started; touch .ready; exec sleep 600"
    service = {**of, "service_name": "app"}
    started = await call("service_start", **service, command=command, ready_file=".ready", published_ports=[{"guest_port": 80}])
    assert started["state"] == "running" and started["published_ports"][0]["guest_port"] == 80
    assert (await call("service_status", **service))["state"] == "running"
    assert (await call("service_list", **of))["running_count"] == 1
    assert "service started" in (await call("service_logs", **service))["stdout"]
    await call("service_restart", **service)
    assert (await call("service_stop", **service))["state"] == "stopped"
    failed = await call("service_start", **of, service_name="bad", command="exit 7", readiness={"type": "file", "path": "x"})
    assert (failed["state"], failed["exit_code"], failed["code"]) == ("failed", 7, "service_failed")
    port = (await call("port_publish", **of, guest_port=81))["published_port"]["host_port"]
    assert (await call("port_list", **of))["count"] == 1
    await call("port_remove", **of, host_port=port)


async def transfers(call, of, root):
    with open(f"{root}/pushed.txt", "w") as file:
        file.write("pushed\n")
    await call("workspace_sync_push", **of, source_path=root)
    assert (await call("workspace_exec", **of, command="cat pushed.txt; mkdir -p out; echo x > out/x"))["stdout"] == "pushed\n"
    await call("workspace_export", **of, path="pushed.txt", output_path=f"{root}/exported.txt")
    await call("workspace_sync_pull", **of, source="out", target_path=f"{root}/pulled")
    with open(f"{root}/pulled/x") as file:
        assert file.read() == "x\n"


async def times(call, of, root):
    await call("secret_remove", **of, secret_name="API_KEY")
    await call("snapshot_create", **of, snapshot_name="before")
    assert (await call("snapshot_list", **of))["count"] == 2
    assert (await call("workspace_reset", **of, snapshot="before"))["reset_count"] == 1
    await call("snapshot_delete", **of, snapshot_name="before")
    assert (await call("workspace_stop", **of))["state"] == "stopped"
    # A running one has had a secret, so its memory cannot be forked.
    children = (await call("workspace_fork", **of, name_prefix="try", start=False))["children"]
    await call("workspace_delete", workspace_id=children[0]["workspace_id"])
    listed = await call("workspace_disk_list", **of)
    assert "/workspace/pushed.txt" in [entry["path"] for entry in listed["entries"]]
    assert (await call("workspace_disk_read", **of, path="pushed.txt"))["content"] == "pushed\n"
    exported = await call("workspace_disk_export", **of, output_path=f"{root}/disk.ext4.zst", zstd=True)
    assert exported["disk_format"] == "ext4"
    assert (await call("workspace_start", **of))["state"] == "started"


async def vms(call):
    ran = await call("vm_run", environment="debian:12", command="echo hello; exit 4")
    assert (ran["stdout"], ran["exit_code"], ran["cleanup"]["deleted"]) == ("hello\n", 4, True)
    of = {"vm_id": (await call("vm_create", environment="debian:12"))["vm_id"]}
    await call("vm_start", **of)
    assert (await call("vm_status", **of))["state"] == "started"
    await call("vm_network_info", **of)
    assert (await call("vm_stop", **of))["state"] == "stopped"
    await call("vm_delete", **of)
    of = {"vm_id": (await call("vm_create", environment="debian:12"))["vm_id"]}
    await call("vm_start", **of)
    assert (await call("vm_exec", **of, command="echo once"))["stdout"] == "once\n"
    await call("vm_reap_expired")


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
        await environments(call)
        of = {"workspace_id": (await call("workspace_create", environment="debian:12"))["workspace_id"]}
        await call("workspace_update", **of, name="everything", labels={"by": "a test"})
        assert (await call("workspace_list", labels={"by": "a test"}))["count"] == 1
        assert (await call("workspace_status", **of))["name"] == "everything"
        await hostile(call, of)
        await files(call, of)
        await secrets(call, of)
        await commands(call, of)
        await shells(call, of)
        await services(call, of)
        await transfers(call, of, how["root"])
        await times(call, of, how["root"])
        await vms(call)
        await call("workspace_delete", **of)
        prompts = (await client.list_prompts()).prompts
        assert len(prompts) == 5
        prompt = await client.get_prompt("repro-fix-loop", {"seed_path": "/p", "check": "make test"})
        assert "make test" in prompt.messages[0].content.text
        assert len((await client.list_resource_templates()).resource_templates) == 3
        missed = set(call.tools) - call.called
        assert not missed, f"never called: {sorted(missed)}"
        print(json.dumps({"tools": len(call.tools), "protocol": client.protocol_version}))


asyncio.run(main(json.loads(sys.argv[1])))
