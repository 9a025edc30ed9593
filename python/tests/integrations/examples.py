"""What tests of examples share: an example runs as a user runs it, with a scripted server as its model."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from guests import REPOSITORY, GuestCase
from models import without_keys
from pyro_mcp._program import program

#: Says where it runs; the host's kernel and name are others.
WHERE = "uname -rn"
SAID_WHERE = r"pyro-[0-9a-f]{12} \S+-cloud-amd64"


@contextlib.contextmanager
def temporary_folder():
    """A folder of the host."""
    with tempfile.TemporaryDirectory(prefix="pyro-python-") as path:
        yield pathlib.Path(path)


class ExampleCase(GuestCase):
    """Tests that run examples."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.programs = cls.enterClassContext(temporary_folder())
        # MCP clients start `pyro` with hardly an environment, so that this is what says where workspaces are.
        wrapper = cls.programs / "pyro"
        wrapper.write_text(f'#!/bin/sh\nPYRO_STATE_DIR={cls.state} exec {program()} "$@"\n')
        wrapper.chmod(0o755)

    @classmethod
    def surroundings(cls):
        path = f"{cls.programs}:{os.environ['PATH']}"
        return {**without_keys(), "PYRO_STATE_DIR": cls.state, "PATH": path}

    def example(self, name, model, *arguments):
        """What an example prints whose model is played. Its workspaces are gone afterwards."""
        with model:
            done = subprocess.run(
                [sys.executable, str(REPOSITORY / "examples" / name), *arguments],
                env={**self.surroundings(), **model.surroundings()},
                capture_output=True,
                text=True,
                check=False,
            )
            # First what the server refused, which says more than what the client made of it.
            if not model.failures:
                self.assertEqual(done.returncode, 0, f"{name}: {done.stdout}{done.stderr}")
        self.assertEqual(self.pyro.list_workspaces()["count"], 0)
        return done.stdout
