"""Where the ``pyro`` program is that came with this package. This file must not run it."""

from __future__ import annotations

import os
import sys

from pyro_mcp.errors import HostError


def _candidates() -> list[str]:
    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # The folder of `pip install --target`, and <prefix>/lib/pythonX.Y/site-packages.
    prefixes = [packages, os.path.dirname(os.path.dirname(os.path.dirname(packages))), sys.prefix]
    return [os.path.join(prefix, "bin", "pyro") for prefix in prefixes]


def program() -> str:
    """The path of the ``pyro`` program that was installed together with this package."""
    candidates = _candidates()
    for path in candidates:
        if os.access(path, os.X_OK):
            return path
    raise HostError(
        f"the program that belongs to this package is missing: {' and '.join(candidates)} do not exist",
        code="host_failed",
        hint="install the package again, with pip",
    )
