"""``python -m pyro_mcp``: the ``pyro`` program, in the place of this process. This file must not parse arguments."""

from __future__ import annotations

import os
import sys

from pyro_mcp._program import program

if __name__ == "__main__":
    os.execv(program(), ["pyro", *sys.argv[1:]])
