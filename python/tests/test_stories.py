"""The five stories of `tests/stories/stories.json`, told by the package's methods. `tests/guest/stories.rs` has the command line
and MCP tell the same ones, and `crates/pyro-testkit/src/story.rs` says how the table is read. Nothing here knows a story."""

import inspect
import json
import pathlib
import unittest

from contract import methods
from guests import REPOSITORY, GuestCase
from pyro_mcp import Pyro, PyroError

STORIES = json.loads((REPOSITORY / "tests/stories/stories.json").read_text())["stories"]
#: How often a step is asked again; whatever is asked again waits by itself.
ASKED_MAX = 200


class Names:
    """A manager that only says which operation it was asked for."""

    def call(self, name, arguments):
        return json.dumps({"operation": name})


def method_names():
    """Each operation's method."""
    pyro, found = Pyro(Names()), {}
    for name in methods():
        if name != "create_server":
            needed = [
                one.name
                for one in inspect.signature(getattr(pyro, name)).parameters.values()
                if one.default is inspect.Parameter.empty
            ]
            found[getattr(pyro, name)(**dict.fromkeys(needed, "x"))["operation"]] = name
    return found


METHODS = method_names()


def at(answer, place):
    """What is at a place of an answer; None where nothing is."""
    if not place:
        return answer
    first, _, rest = place.partition(".")
    if isinstance(answer, list):
        if first == "*":
            return [at(one, rest) for one in answer]
        return at(answer[int(first)], rest) if int(first) < len(answer) else None
    return at(answer[first], rest) if isinstance(answer, dict) and first in answer else None


def filled(value, kept):
    """The value with what was kept in the place of its names."""
    if isinstance(value, list):
        return [filled(one, kept) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, kept) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    for name, one in kept.items():
        if value == f"${{{name}}}":
            return one
        value = value.replace(f"${{{name}}}", str(one))
    return value


def holds(wanted, there):
    if isinstance(wanted, dict):
        return isinstance(there, str | list) and wanted["contains"] in there
    return wanted == there and isinstance(wanted, bool) == isinstance(there, bool)


def carry_out(pyro, step, kept):
    """The answer to a step, if it is as the step says."""
    try:
        answer = getattr(pyro, METHODS[step["call"]])(**filled(step["with"], kept))
    except PyroError as error:
        assert error.code == step.get("refused"), f"refused with {error.code}: {error}"
        return None
    assert "refused" not in step, f"not refused: {answer}"
    for place, wanted in step["holds"].items():
        there = at(answer, place)
        assert holds(filled(wanted, kept), there), f"{place} is {there!r}, not {wanted!r}: {answer}"
    return answer


def tell(pyro, story, folder):
    seed, out = folder / "seed", folder / "out"
    out.mkdir()
    for path, text in story["seed"].items():
        (seed / path).parent.mkdir(parents=True, exist_ok=True)
        (seed / path).write_text(text)
    kept = {"seed": str(seed), "out": str(out)}
    for number, step in enumerate(story["steps"]):
        for asked in range(ASKED_MAX):
            try:
                answer = carry_out(pyro, step, kept)
                break
            except AssertionError as wrong:
                if not step.get("again") or asked + 1 == ASKED_MAX:
                    raise AssertionError(f"{story['name']}, step {number}, {step['call']}: {wrong}") from None
        kept.update({name: at(answer, place) for name, place in step.get("keep", {}).items()})
    exported = {path.name: path.read_text() for path in out.iterdir()}
    assert exported == story["exported"], exported


class Stories(GuestCase):
    """One test for each story."""


def test_of(story):
    def test(self):
        # Whatever a story that broke off has left.
        self.addCleanup(self.command, "workspace", "delete", "--all")
        tell(self.pyro, story, self.folder())

    return test


for one in STORIES:
    setattr(Stories, f"test_{one['name'].replace('-', '_')}", test_of(one))


class Wrong(unittest.TestCase):
    def test_a_package_that_answers_nothing_gets_through_no_story(self):
        import tempfile

        for story in STORIES:
            with tempfile.TemporaryDirectory() as folder, self.assertRaises(AssertionError):
                tell(Pyro(Names()), story, pathlib.Path(folder))
        self.assertEqual(len(STORIES), 5)
