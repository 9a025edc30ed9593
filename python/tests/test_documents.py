"""The programs of the documentation's page about Python, run in real guests as they stand there."""

import pathlib
import re
import subprocess
import sys
import tempfile

from guests import REPOSITORY, GuestCase

PAGE = REPOSITORY / "docs" / "guides" / "python.md"


class Page(GuestCase):
    def setUp(self):
        self.blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)

    def run_block(self, block):
        """What a program of the page prints, run where `repo` has a check."""
        with tempfile.TemporaryDirectory() as folder:
            repo = pathlib.Path(folder) / "repo"
            repo.mkdir()
            (repo / "check.sh").write_text("echo checked | tee report\n")
            done = subprocess.run(
                [sys.executable, "-c", block],
                env=self.surroundings(),
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stderr}")
        return done.stdout

    def test_every_program_does_what_the_page_says(self):
        sandbox, stream, several, failure = map(self.run_block, self.blocks)
        self.assertTrue(sandbox.startswith("0 checked\n"), sandbox)
        self.assertIn("+checked\n", sandbox)
        self.assertIn("line 3\\n'", stream)
        self.assertTrue(stream.endswith("\n0\n"), stream)
        self.assertEqual(several, "[" + ", ".join(repr(f"{n}\n") for n in range(4)) + "]\n")
        self.assertTrue(failure.startswith("workspace_unknown "), failure)
        self.assertEqual(self.pyro.list_workspaces()["count"], 0)
