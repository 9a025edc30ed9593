"""Pyro as other makers' agent frameworks take it, one file for each. Each needs its framework: ``pip install pyro-mcp[NAME]``.

This file must not import any of them.
"""
