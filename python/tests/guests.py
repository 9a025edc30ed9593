"""What tests with real guests share: a state folder of their own, and that nothing is left in it."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from pyro_mcp import Pyro
from pyro_mcp._program import program

ENVIRONMENT = "debian:12"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class GuestCase(unittest.TestCase):
    """Tests whose workspaces are in a state folder of the class's own. Environments are shared: nobody changes them."""

    @classmethod
    def setUpClass(cls):
        # On the same kind of disk as a user's home.
        cls.state = tempfile.mkdtemp(prefix="pyro-python-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.state)
        cls.addClassCleanup(cls.command, "workspace", "delete", "--all")
        cls.pyro = Pyro(base_dir=cls.state)
        if not cls.pyro.inspect_environment(ENVIRONMENT)["installed"]:
            cls.pyro.pull_environment(ENVIRONMENT)

    @classmethod
    def surroundings(cls):
        """The environment in which other programs see the same workspaces."""
        return {**os.environ, "PYRO_STATE_DIR": cls.state}

    @classmethod
    def command(cls, *arguments):
        """What the `pyro` program that came with the package prints."""
        done = subprocess.run(
            [program(), *arguments], env=cls.surroundings(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"pyro {' '.join(arguments)}: {done.returncode}: {done.stderr}")
        return done.stdout

    def python(self, code, **options):
        """A Python of its own that runs `code` with this class's workspaces."""
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=self.surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def workspace(self, **options):
        """The id of a new workspace, which goes with the test."""
        made = self.pyro.create_workspace(environment=ENVIRONMENT, **options)
        self.addCleanup(self.pyro.delete_workspace, made["workspace_id"])
        return made["workspace_id"]

    def folder(self):
        """A folder of the host, which goes with the test."""
        folder = tempfile.TemporaryDirectory(prefix="pyro-python-")
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def wait_in_guest(self, workspace, condition):
        """Waits in the guest until a shell condition holds."""
        waited = self.pyro.exec_workspace(
            workspace, command=f"until {condition}; do sleep 0.05; done", timeout_seconds=60
        )
        self.assertEqual(waited["exit_code"], 0, f"it never came to {condition}: {waited}")
