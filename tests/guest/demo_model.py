"""The model in the tests of `pyro demo ollama`: says where it is, plays one of these scripts until its standard input ends, and
then whether the client kept to it. It must not need more than Python."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python" / "tests"))

from models import Call, Model, Say, check

RUN = Call("vm_run", {"environment": "debian:12", "command": "git --version"})


def mistaken(asked):
    check("vm_run" in asked.tools and len(asked.tools) == 6, f"the tools are {sorted(asked.tools)}")
    check("git --version" in asked.text, "nobody said what is to be done")
    return [Call("vm_run", {"environment": "debian:99", "command": "git --version"})]


def mending(asked):
    (failed,) = map(json.loads, asked.results)
    check(failed["code"] == "environment_unknown" and failed["hint"], f"the failure is {failed}")
    return [Call("workspace_create", {"environment": "debian:12", "name": "left"}), RUN]


def answering(asked):
    made, ran = map(json.loads, asked.results)
    check(made["name"] == "left" and ran["exit_code"] == 0, f"made {made}, ran {ran}")
    return Say(f"It is {ran['stdout']}")


def escaping(_):
    host = {"allow_host_compat": True, "environment": "debian:12", "command": "echo git version of the host"}
    push = {"workspace_id": "any", "source_path": "/etc"}
    create = {"environment": "debian:12", "seed_path": "/etc"}
    return [
        Call("vm_run", host),
        Call("workspace_sync_push", push),
        Call("workspace_create", create),
        Call("vm_run", {"environment": "debian:12", "command": "true", "mem_mib": 30000}),
        Call("vm\x1b[2J", {}),
    ]


def boasting(asked):
    codes = [json.loads(result).get("code") for result in asked.results]
    expected = ["host_compat_refused", "tool_unknown", "path_outside_roots", "limit_exceeded", "tool_unknown"]
    check(codes == expected, f"the results are {asked.results}")
    return Say("\x1b]0;owned\x07git version 99\x1b[2J")


SCRIPTS = {
    "able": Model(mistaken, mending, answering, key=None),
    "wild": Model(escaping, boasting, key=None, wild=True),
}


with SCRIPTS[sys.argv[1]] as model:
    print(model.url, flush=True)
    sys.stdin.read()
