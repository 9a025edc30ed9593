"""An executor for smolagents: what a ``CodeAgent`` writes runs in a Python of a guest, which remembers from step to step.

``pip install pyro-mcp[smolagents]``. The guest needs ``python3``, which ``debian:12-build`` has. What comes back is JSON and is
never unpickled: that would run the guest's code on this host. This file must not decide how long a workspace lives that it did
not make.
"""

from __future__ import annotations

import ast
import json
import uuid
from typing import TYPE_CHECKING, Any, Unpack

from smolagents.local_python_executor import CodeOutput
from smolagents.monitoring import AgentLogger, LogLevel
from smolagents.remote_executors import RemotePythonExecutor
from smolagents.tools import get_tools_definition_code
from smolagents.utils import AgentExecutionError

from pyro_mcp.errors import NotFoundError
from pyro_mcp.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smolagents import Tool

    from pyro_mcp._requests import CreateOptions
    from pyro_mcp.client import Pyro
    from pyro_mcp.parts import Job
    from pyro_mcp.sandbox import Workspace

#: Most characters of a step's output, and of its value: their ends.
OUTPUT_CHARS_MAX = 200_000

# One step after the other: a number comes through `begin`, the code is in its file, what became of it goes to another, and the
# number goes through `end`. The lock is held as long as the interpreter lives, however it ends.
_INTERPRETER = r"""
import ast, contextlib, fcntl, io, json, os, sys, traceback
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
with open("end", "w") as pipe:
    pipe.write("ready")
LIMIT = int(sys.argv[1])
names = {"__name__": "__main__"}

def run(code):
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<step>", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "<step>", "eval"), names)

while True:
    with open("begin") as pipe:
        number = pipe.read().strip()
    with open(number + ".py", encoding="utf-8") as file:
        code = file.read()
    out, told = io.StringIO(), {}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            value = run(code)
            told["value"] = None if value is None else repr(value)[-LIMIT:]
        except BaseException as error:
            told["error"] = type(error).__name__
            told["text"] = str(getattr(error, "value", error))
            told["trace"] = traceback.format_exc()[-LIMIT:]
    told["logs"] = out.getvalue()[-LIMIT:]
    with open(number + ".json", "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.unlink(number + ".py")
    with open("end", "w") as pipe:
        pipe.write(number)
"""

_START = 'mkdir -p "$1" && cd "$1" && command -v python3 && rm -f begin end lock && mkfifo begin end'

# Ends when the step does, and also when the interpreter does.
_STEP = r"""
cd "$1" && echo "$2" >begin
flock lock -c 'echo gone >end' &
read -r ended <end
kill $! 2>/dev/null
[ "$ended" != gone ] && cat "$2.json" && rm "$2.json"
"""


class PyroExecutor(RemotePythonExecutor):
    """Give it to a ``CodeAgent`` as ``executor``. Without a ``workspace`` it makes a sandbox, which :meth:`cleanup` deletes.

    ``timeout_seconds`` is for one step. When it is over the guest's Python is ended, and with it what it remembered. Packages that
    the code imports have to be in the environment; ``additional_imports`` only says that they are wanted, and is checked.
    """

    def __init__(
        self,
        additional_imports: Sequence[str] = (),
        logger: AgentLogger | None = None,
        *,
        environment: str = "debian:12-build",
        workspace: Workspace | None = None,
        client: Pyro | None = None,
        timeout_seconds: int = 60,
        **options: Unpack[CreateOptions],
    ) -> None:
        # Never `allow_pickle`, see above.
        super().__init__(list(additional_imports), logger or AgentLogger(level=LogLevel.OFF), allow_pickle=False)
        self._sandbox = None if workspace else Sandbox.create(environment, client=client, **options)
        self._workspace = workspace or self._sandbox
        #: For each step from now on.
        self.timeout_seconds = timeout_seconds
        # Not below /workspace, so that a diff of the work does not show it.
        self._folder = f"/run/pyro-python-{uuid.uuid4().hex}"
        self._interpreter: Job | None = None
        self._steps = 0
        for package in self.additional_imports:
            self.run_code_raise_errors(f"import importlib; importlib.import_module({package!r})")

    def run_code_raise_errors(self, code: str) -> CodeOutput:
        """Run one step. What it prints is the output's ``logs``, and the value of its last line its ``output``."""
        told = self._step(code)
        logs = str(told.get("logs", ""))
        if told.get("error") == self.FINAL_ANSWER_EXCEPTION:
            answer = self._deserialize_final_answer(str(told.get("text")), allow_pickle=False)
            return CodeOutput(output=answer, logs=logs, is_final_answer=True)
        if "error" in told:
            text = f"{logs}\nExecuting code yielded an error:\n{told.get('trace')}"
            raise AgentExecutionError(text, self.logger)
        return CodeOutput(output=told.get("value"), logs=logs, is_final_answer=False)

    def send_tools(self, tools: dict[str, Tool]) -> None:
        """Define tools in the guest. They import at their top whatever they could make use of, and do without what is not there."""
        if "final_answer" in tools:
            self._patch_final_answer_with_exception(tools["final_answer"])
        if code := get_tools_definition_code(tools):
            self.run_code_raise_errors(_forgiving(code))

    def cleanup(self) -> None:
        """End the guest's Python, and delete the sandbox if it was made here."""
        if self._sandbox is not None:
            self._sandbox.delete()
        elif self._interpreter is not None:
            self._end()
        self._interpreter = None

    def _step(self, code: str) -> dict[str, Any]:
        if self._interpreter is None:
            self._interpreter = self._start()
        self._steps += 1
        number = str(self._steps)
        self._workspace.files.write(f"{self._folder}/{number}.py", code)
        command = ["/bin/sh", "-c", _STEP, "sh", self._folder, number]
        ran = self._workspace.exec(command, timeout_seconds=self.timeout_seconds)
        if ran.timed_out:
            self._end()
            text = f"the code ran for longer than {self.timeout_seconds} s and was ended; all variables are gone"
            raise AgentExecutionError(text, self.logger)
        try:
            told = json.loads(ran.stdout)
        except ValueError:
            self._end()
            raise AgentExecutionError("the interpreter was ended by the code; all variables are gone", self.logger) from None
        return told if isinstance(told, dict) else {}

    def _start(self) -> Job:
        """Begin in a folder of its own, with pipes that are there before anybody waits for them."""
        self._workspace.exec(["/bin/sh", "-c", _START, "sh", self._folder], check=True)
        command = ["python3", "-c", _INTERPRETER, str(OUTPUT_CHARS_MAX)]
        job = self._workspace.exec_detached(command, cwd=self._folder)
        self._workspace.exec("read -r ready <end; true", cwd=self._folder, timeout_seconds=300)
        return job

    def _end(self) -> None:
        job, self._interpreter = self._interpreter, None
        if job is None:
            return
        try:
            job.signal("KILL")
        except NotFoundError:
            # The code has ended it already.
            return
        job.wait()


def _forgiving(code: str) -> str:
    """The same code, whose imports may fail. What is missing is said when it is used."""
    tree = ast.parse(code)
    tree.body = [
        ast.Try([one], [ast.ExceptHandler(ast.Name("ImportError"), None, [ast.Pass()])], [], [])
        if isinstance(one, ast.Import | ast.ImportFrom)
        else one
        for one in tree.body
    ]
    return ast.unparse(ast.fix_missing_locations(tree))


__all__ = ["PyroExecutor"]
