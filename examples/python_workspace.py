"""A guest that stays: files in, commands, a snapshot to go back to, files out."""

import pathlib
import tempfile

from pyro_mcp import Pyro

pyro = Pyro()
with tempfile.TemporaryDirectory() as folder:
    repo = pathlib.Path(folder, "repo")
    changes = pathlib.Path(folder, "changes")
    for path in (repo, changes):
        path.mkdir()
    (repo / "note.txt").write_text("from the seed\n")
    (changes / "note.txt").write_text("from the host, later\n")

    workspace = pyro.create_workspace(environment="debian:12", seed_path=repo)
    workspace_id = workspace["workspace_id"]
    try:
        pyro.push_workspace_sync(workspace_id, changes, dest="src")
        print(pyro.exec_workspace(workspace_id, command="cat note.txt src/note.txt")["stdout"], end="")

        pyro.create_snapshot(workspace_id, "checkpoint")
        pyro.exec_workspace(workspace_id, command="rm -r src; echo broken >note.txt")
        print(sorted(entry["path"] for entry in pyro.diff_workspace(workspace_id)["entries"]))

        pyro.reset_workspace(workspace_id, snapshot="checkpoint")
        exported = pathlib.Path(folder, "note.txt")
        pyro.export_workspace(workspace_id, "note.txt", output_path=exported)
        print(exported.read_text(), end="")
    finally:
        pyro.delete_workspace(workspace_id)
