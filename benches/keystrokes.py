"""Takes keys typed at a terminal that is attached to a workspace, and bytes through the floor's channel, in turn. All are
answered by a `cat` in the guest; ours passes two terminals and the supervisor besides. Since a terminal in the guest costs
what it costs whoever is at its other end, bytes through the floor's channel and a terminal of the guest are taken too. It
must not know what is promised.
"""
import contextlib
import os
import pty
import select
import subprocess
import tempfile
import time

from floor import ANSWERER
from pairs import median
from pairs import ratio
from workspaces import Workspaces

# Keys of one turn, after a few that do not count.
KEYS, WARM_KEYS, TURNS = 50, 10, 4
# So long nothing more is shown before the first key.
QUIET_S = 0.5


class Keyboard:
    """A terminal at which `pyro workspace exec -it` sits."""

    def __init__(self, pyro, state, workspace):
        self.master, slave = pty.openpty()
        command = [pyro.program, "workspace", "exec", workspace, "-it", "--", ANSWERER]
        environment = {**os.environ, "PYRO_STATE_DIR": state}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        shown = b""
        while b"up" not in shown:
            shown += os.read(self.master, 4096)
        # What belongs to that, such as the end of the line.
        while select.select([self.master], [], [], QUIET_S)[0]:
            os.read(self.master, 4096)

    def key_s(self):
        """The seconds until a key is shown."""
        start = time.monotonic()
        os.write(self.master, b"k")
        if os.read(self.master, 4096) != b"k":
            raise RuntimeError("something else than the key was shown")
        return time.monotonic() - start

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def ended(guest):
    try:
        yield guest
    finally:
        guest.end()


def turn(key_s):
    for _ in range(WARM_KEYS):
        key_s()
    return [key_s() for _ in range(KEYS)]


def keystrokes(pyro, engine):
    """Medians of both, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="pyro-bench-") as state, contextlib.ExitStack() as stack:
        _, workspace = stack.enter_context(Workspaces(pyro, state).made())
        keyboard = Keyboard(pyro, state, workspace)
        stack.callback(keyboard.end)
        plain, terminal = (stack.enter_context(ended(engine.restored()[1])) for _ in range(2))
        plain.answer_bytes()
        terminal.answer_keys()
        bytes_s, terminal_s, keys_s = [], [], []
        for _ in range(TURNS):
            bytes_s += turn(plain.byte_s)
            terminal_s += turn(terminal.byte_s)
            keys_s += turn(keyboard.key_s)
    channel, through_terminal, ours = median(bytes_s), median(terminal_s), median(keys_s)
    return {"channel_echo_s": channel, "terminal_echo_s": through_terminal}, {
        "keystroke_s": ours,
        "keystroke_ratio": ratio(ours, channel),
        "keystroke_terminal_ratio": ratio(ours, through_terminal),
    }
