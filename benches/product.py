"""What pyro costs on this machine, measured from outside as a user would see it. It must not know the floor, nor judge
a figure: that is bench.py's table.
"""
import json
import pathlib
import statistics
import subprocess
import time

ENVIRONMENT = "debian:12"
QUESTION = ["--", "git", "--version"]
# Prints a line as soon as the guest's first command runs, and ends when its input does.
HELD = ["--", "sh", "-c", "echo up; cat"]

CAPTURED = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Product:
    """The release binary."""

    def __init__(self, program, root):
        self.program = str(program)
        self.root = root

    def call(self, *arguments):
        """Runs the program; returns wall seconds and its output, and fails loudly when it fails."""
        start = time.monotonic()
        done = subprocess.run([self.program, *arguments], stdin=subprocess.DEVNULL, **CAPTURED)
        took = time.monotonic() - start
        if done.returncode != 0:
            raise RuntimeError(f"pyro {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
        return took, done.stdout

    def json(self, *arguments):
        return json.loads(self.call(*arguments)[1])

    def environment(self):
        """Where the environment's kernel and root file system are; installs it when it is not there."""
        self.call("env", "pull", ENVIRONMENT, "--json")
        return self.json("env", "inspect", ENVIRONMENT, "--json")

    def median_seconds(self, runs, *arguments):
        return statistics.median(self.call(*arguments)[0] for _ in range(runs))

    def timed_run(self, *flags):
        """Wall seconds of the whole process, and the parts of them that pyro reports, in milliseconds."""
        took, output = self.call("run", ENVIRONMENT, "--json", *flags, *QUESTION)
        report = json.loads(output)
        if not report["stdout"].startswith("git version"):
            raise RuntimeError(f"the guest said {report['stdout']!r}")
        return took, report["timings"]

    def restored_s(self, environment=ENVIRONMENT, question=QUESTION):
        """Wall seconds of a whole process that starts a guest from its template, asks it one thing and ends it."""
        return self.call("run", environment, *question)[0]

    def restored_at_once_s(self, count):
        """Wall seconds until so many such processes, all begun at once, have ended well."""
        start, command = time.monotonic(), [self.program, "run", ENVIRONMENT, *QUESTION]
        processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, **CAPTURED) for _ in range(count)]
        outputs = [process.communicate() for process in processes]
        took = time.monotonic() - start
        for process, (answer, words) in zip(processes, outputs):
            if process.returncode != 0 or not answer.startswith(b"git version"):
                raise RuntimeError(f"one of {count} runs ended with {process.returncode}: {words.decode()}")
        return took

    def bench(self, *flags):
        """What `pyro bench` measures, by the figures' names."""
        return {row["name"]: row for row in self.json("bench", ENVIRONMENT, "--json", *flags)["rows"]}

    def installed(self, *environments):
        """Whether all of these are there."""
        known = self.json("env", "list", "--json")["environments"]
        return set(environments) <= {environment["name"] for environment in known if environment["installed"]}

    def own_memory_bytes(self):
        """The most memory pyro's own process held, its engine's left out, once the guest's first command runs."""
        command = [self.program, "run", ENVIRONMENT, *HELD]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                line = process.stdout.readline()
                if line != b"up\n":
                    raise RuntimeError(f"the guest said {line!r}")
                return peak_resident_bytes(process.pid)
            finally:
                process.stdin.close()

    def agent_bytes(self):
        """The size of the agent every guest gets, as the repository's own check reports it."""
        command = ["scripts/with-rust", "cargo", "xtask", "agent", "--json"]
        done = subprocess.run(command, cwd=self.root, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["size_bytes"]


def peak_resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory")
