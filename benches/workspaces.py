"""Takes workspaces and the engine's floor in turn: making one, seeding it, pushing a few files, snapshots and resets. It must
not know what is promised.

A seed is compared with a raw tar stream of the same files through the same guest's channel: `tar -c | pyro workspace exec
ID -- tar -x`, which flushes the guest's disk at its end as a seed does.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

from pairs import median
from pairs import ratio
from product import ENVIRONMENT

# The tree that is seeded, and how much of it is touched before a push or a diff.
FILES, FILE_BYTES, FILES_IN_FOLDER, TOUCHED = 10_000, 20_000, 100, 10
FEW_FILES = 10
FORKS = 2


def write_tree(folder, files):
    """So many files of bytes that no two share, a hundred in each folder."""
    source = random.Random(files)
    for number in range(files):
        path = file_of(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(FILE_BYTES))


def file_of(folder, number):
    return pathlib.Path(folder) / f"d{number // FILES_IN_FOLDER:03}" / f"f{number % FILES_IN_FOLDER:02}"


def touch(folder, turn):
    """Gives a few files, far apart, another content."""
    for number in range(0, FILES, FILES // TOUCHED):
        path = file_of(folder, number)
        path.write_bytes(f"turn {turn}\n".encode() + path.read_bytes()[:FILE_BYTES])


class Workspaces:
    """Workspaces of the release binary, all of them in a state folder that goes in the end."""

    def __init__(self, pyro, state):
        self.pyro = pyro
        self.state = state

    def call(self, *arguments, source=None):
        """Runs `pyro workspace ...`; returns wall seconds and its output, and fails loudly when it fails."""
        environment = {**os.environ, "PYRO_STATE_DIR": str(self.state)}
        command = [self.pyro.program, "workspace", *arguments]
        start = time.monotonic()
        done = subprocess.run(command, stdin=source or subprocess.DEVNULL, capture_output=True, env=environment)
        took = time.monotonic() - start
        if done.returncode != 0:
            raise RuntimeError(f"pyro workspace {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
        return took, done.stdout.decode()

    def json(self, *arguments):
        return json.loads(self.call(*arguments, "--json")[1])

    def seconds(self, *arguments):
        return self.call(*arguments)[0]

    def create(self, *flags):
        """Wall seconds of making a workspace, and its id."""
        took, output = self.call("create", ENVIRONMENT, "--id-only", *flags)
        return took, output.strip()

    @contextlib.contextmanager
    def made(self, *flags):
        """A workspace for a while: the seconds it took to make, and its id."""
        took, workspace = self.create(*flags)
        try:
            yield took, workspace
        finally:
            self.call("delete", workspace)

    def resident_mib(self, workspace):
        """The most memory that the supervisor of a running workspace has held, and what it holds now."""
        record = json.loads(self.call("status", workspace, "--json")[1])
        status = pathlib.Path(f"/proc/{record['supervisor_pid']}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return [round(int(fields[name].split()[0]) / 1024, 1) for name in ("VmHWM", "VmRSS")]


def raw_tar_s(all_of_them, workspace, tree):
    """Wall seconds of a tar stream through the same guest channel that a seed takes."""
    all_of_them.call("exec", workspace, "--", "mkdir", "/workspace/raw")
    with subprocess.Popen(["tar", "-c", "-C", tree, "."], stdout=subprocess.PIPE) as packing:
        took, _ = all_of_them.call("exec", workspace, "--timeout-seconds", "0", "--", "tar", "-x", "-C", "/workspace/raw", source=packing.stdout)
    all_of_them.call("exec", workspace, "--", "rm", "-r", "/workspace/raw")
    return took


def snapshots_and_resets(all_of_them, engine, workspace, runs):
    """Medians of the floor's restore, a snapshot and a reset, in turn."""
    columns = []
    for run in range(runs):
        restore = engine.restore_s()
        snapshot = all_of_them.seconds("snapshot", "create", workspace, f"s{run}")
        columns.append((restore, snapshot, all_of_them.seconds("reset", workspace)))
    return [median(column) for column in zip(*columns)]


def made_ones(all_of_them, engine, runs):
    """Making, stopping and starting; the first of each does not count, as it makes templates."""
    rows = []
    for _ in range(runs + 1):
        restore = engine.restore_s()
        with all_of_them.made() as (took, workspace):
            stop = all_of_them.seconds("stop", workspace)
            rows.append((restore, took, stop, all_of_them.seconds("start", workspace)))
    return [median(column) for column in zip(*rows[1:])]


def pushes(all_of_them, workspace, tree, runs):
    """Seconds of pushing a few files that were touched, the push that finds all as it is, and of the diff."""
    unchanged = all_of_them.seconds("sync", "push", workspace, tree)
    changed, differing = [], []
    for run in range(runs):
        touch(tree, run)
        changed.append(all_of_them.seconds("sync", "push", workspace, tree))
        differing.append(all_of_them.seconds("diff", workspace))
    return {"push_none_s": round(unchanged, 4), "push_10_s": median(changed), "diff_10_s": median(differing)}


def seeded(all_of_them, engine, tree, create, runs):
    """A workspace of many files: seeding it, and what costs the same whatever is in it."""
    seeds, raws = [], []
    for _ in range(max(1, runs // 2)):
        with all_of_them.made("--seed-path", tree) as (took, workspace):
            seeds.append(took - create)
            raws.append(raw_tar_s(all_of_them, workspace, tree))
    with all_of_them.made("--seed-path", tree) as (_, workspace):
        peak, resident = all_of_them.resident_mib(workspace)
        figures = pushes(all_of_them, workspace, tree, runs)
        restore, snapshot, reset = snapshots_and_resets(all_of_them, engine, workspace, runs)
        fork = all_of_them.seconds("fork", workspace, "--count", str(FORKS))
    return {
        "seed_s": median(seeds),
        "raw_tar_s": median(raws),
        "seed_ratio": ratio(median(seeds), median(raws)),
        **figures,
        "snapshot_s": snapshot,
        "snapshot_ratio": ratio(snapshot, restore),
        "reset_s": reset,
        "reset_ratio": ratio(reset, restore),
        "fork_2_s": round(fork, 4),
        "supervisor_peak_mib": peak,
        "supervisor_seeded_mib": resident,
    }


def small(all_of_them, engine, tree, runs):
    """A workspace of few files, as far as it is compared with one of many."""
    with all_of_them.made("--seed-path", tree) as (_, workspace):
        _, idle = all_of_them.resident_mib(workspace)
        executed = [all_of_them.seconds("exec", workspace, "--", "sh", "-c", "true") for _ in range(2 * runs)]
        _, snapshot, reset = snapshots_and_resets(all_of_them, engine, workspace, runs)
    figures = {"exec_true_s": median(executed), "supervisor_idle_mib": idle}
    return {**figures, "snapshot_few_s": snapshot, "reset_few_s": reset}


@contextlib.contextmanager
def opened(pyro):
    """Workspaces to measure on, and a folder for trees; nothing of either is left."""
    with tempfile.TemporaryDirectory(prefix="pyro-workspaces-", dir=pathlib.Path.home()) as folder:
        folder = pathlib.Path(folder)
        all_of_them = Workspaces(pyro, folder / "state")
        try:
            yield all_of_them, folder
        finally:
            for row in json.loads(all_of_them.call("list", "--json")[1])["workspaces"]:
                all_of_them.call("delete", row["workspace_id"])
            shutil.rmtree(folder / "state", ignore_errors=True)


def workspaces(pyro, engine, runs):
    with opened(pyro) as (all_of_them, folder):
        restore, create, stop, start = made_ones(all_of_them, engine, runs)
        figures = {"create_s": create, "create_ratio": ratio(create, restore), "stop_s": stop, "start_s": start}
        for name, files in ("few", FEW_FILES), ("many", FILES):
            write_tree(folder / name, files)
        figures.update(small(all_of_them, engine, str(folder / "few"), runs))
        figures.update(seeded(all_of_them, engine, str(folder / "many"), create, runs))
    figures["snapshot_growth"] = ratio(figures["snapshot_s"], figures["snapshot_few_s"])
    figures["reset_growth"] = ratio(figures["reset_s"], figures["reset_few_s"])
    return {"workspace_restore_s": restore}, figures
