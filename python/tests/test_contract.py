"""The whole contract, without a guest: every method there, with its parameters, and passed on under the right name."""

import inspect
import json
import pathlib
import re
import tempfile
import unittest

import pyro_mcp
from contract import CONSTRUCTOR, methods
from pyro_mcp import Pyro, _native, aio, aio_parts, aio_streams, errors, parts, sandbox, streams


def signature(function, *, bound=True):
    """A signature without annotations, and without ``self``."""
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    return str(inspect.Signature([one.replace(annotation=inspect.Parameter.empty) for one in parameters]))


class Recorder:
    """A manager that answers with what it was asked."""

    def call(self, name, arguments):
        return json.dumps({"operation": name, "arguments": json.loads(arguments)})


class Contract(unittest.TestCase):
    def test_there_are_47_methods_with_these_parameters(self):
        ours = {
            name: signature(value)
            for name, value in vars(Pyro).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }
        self.assertEqual(len(ours), 47)
        self.assertEqual(ours, methods())

    def test_the_constructor_is_the_contracts(self):
        self.assertEqual("Pyro" + signature(Pyro.__init__), CONSTRUCTOR)

    def test_every_method_says_what_it_does(self):
        for name in methods():
            self.assertTrue(inspect.getdoc(getattr(Pyro, name)), name)

    def test_every_method_but_one_is_an_operation_of_its_own(self):
        pyro = Pyro(Recorder())
        operations = set(_native.Client.names())
        called = {}
        for name in methods():
            if name == "create_server":
                continue
            parameters = inspect.signature(getattr(pyro, name)).parameters.values()
            needed = [one for one in parameters if one.default is inspect.Parameter.empty]
            positional = [one.name for one in needed if one.kind is not inspect.Parameter.KEYWORD_ONLY]
            keywords = {one.name: one.name for one in needed if one.kind is inspect.Parameter.KEYWORD_ONLY}
            asked = getattr(pyro, name)(*positional, **keywords)
            self.assertIn(asked["operation"], operations, name)
            called[asked["operation"]] = name
            # What is given goes by its own name, and what is not keeps the contract's default.
            for one in parameters:
                value = asked["arguments"].get(one.name)
                if one.default is None:
                    self.assertIsNone(value, one)
                elif one.default is not inspect.Parameter.empty:
                    self.assertEqual(value, one.default, one)
                elif one.name in ("source_path", "output_path"):
                    self.assertEqual(value, str(pathlib.Path.cwd() / one.name))
                else:
                    self.assertEqual(value, one.name)
        self.assertEqual(len(called), 46)

    def test_paths_of_the_host_are_taken_from_the_working_directory(self):
        asked = Pyro(Recorder()).create_workspace(
            environment="debian:12",
            seed_path=pathlib.Path("repo"),
            secrets=[{"name": "A", "file_path": "token"}, {"name": "B", "value": "v"}],
            labels={"team": "blue"},
        )["arguments"]
        here = pathlib.Path.cwd()
        self.assertEqual(asked["seed_path"], str(here / "repo"))
        self.assertEqual(
            asked["secrets"], [{"name": "A", "file_path": str(here / "token")}, {"name": "B", "value": "v"}]
        )
        self.assertEqual(asked["labels"], {"team": "blue"})

    def test_a_profile_is_one_of_three(self):
        with self.assertRaises(pyro_mcp.InvalidArgumentError) as raised:
            Pyro(Recorder()).create_server("everything")
        self.assertEqual(raised.exception.code, "usage")
        command = Pyro(Recorder()).create_server(profile="vm-run").command()
        self.assertEqual(command[1:], ["mcp", "serve", "--profile", "vm-run"])


class Errors(unittest.TestCase):
    def test_every_code_of_the_reference_has_a_family(self):
        reference = pathlib.Path(__file__, "../../../docs/reference/error-codes.md").resolve().read_text()
        codes = [line.split("`")[1] for line in reference.splitlines() if line.startswith("- `")]
        self.assertGreater(len(codes), 100)
        without = [code for code in codes if errors.kind_of(code) is pyro_mcp.PyroError]
        self.assertEqual(without, [])

    def test_hints_name_methods_that_there_are(self):
        """Every command that the library names in quotes, wherever it does, and every tool that an operation names."""
        crates = pathlib.Path(__file__, "../../../crates").resolve()
        lines = [
            line
            for room in ("pyro", "pyro-image", "pyro-engine")
            for file in (crates / room / "src").rglob("*.rs")
            for line in file.read_text().splitlines()
            if re.search("['`]pyro ", line) and not line.lstrip().startswith("//")
        ]
        self.assertGreater(len(lines), 40)
        told = [_native.in_terms_of_methods(line) for line in lines]
        told += [_native.in_terms_of_methods(f"{tool} does it") for tool in _native.Client.names()]
        named = {name for line in told for name in re.findall(r"\b((?:pyro|workspace)(?:\.\w+)+)\([^)]", line)}
        self.assertGreater(len(named), 40)
        self.assertEqual([name for name in sorted(named) if not self.is_method(name)], [])
        left = {command for line in told for command in re.findall("['`](pyro (?:workspace|env) [a-z -]*)", line)}
        self.assertEqual(left, self.WITHOUT_METHOD)

    WITHOUT_METHOD = frozenset(
        {
            "pyro workspace job list",
            "pyro workspace pack",
            "pyro workspace service restart",
            "pyro workspace shell list",
        }
    )

    @staticmethod
    def is_method(name):
        object_, *path = name.split(".")
        kind = {"pyro": Pyro, "workspace": sandbox.Workspace}[object_]
        parts_of = {"files": parts.Files, "ports": parts.Ports, "secrets": parts.Secrets}
        for part in path[:-1]:
            kind = parts_of[part]
        return callable(getattr(kind, path[-1], None))

    def test_a_failure_of_the_library_names_methods(self):
        with tempfile.TemporaryDirectory() as home:
            with self.assertRaises(pyro_mcp.PyroError) as raised:
                Pyro(base_dir=home).status_workspace("nobody")
        self.assertEqual(raised.exception.code, "workspace_unknown")
        self.assertIn("pyro.list_workspaces(...)", raised.exception.hint)

    def test_a_code_that_is_not_known_yet_is_still_a_failure(self):
        error = errors.error_from("quite_new", "it did", "do not")
        self.assertIs(type(error), pyro_mcp.PyroError)
        self.assertEqual((str(error), error.code, error.hint), ("it did", "quite_new", "do not"))

    def test_families_are_what_python_expects(self):
        self.assertIsInstance(errors.error_from("name_invalid", "", ""), ValueError)
        self.assertIsInstance(errors.error_from("workspace_unknown", "", ""), LookupError)
        self.assertIsInstance(errors.error_from("network_unavailable", "", ""), PermissionError)
        for kind in vars(errors).values():
            if isinstance(kind, type) and issubclass(kind, Exception):
                self.assertTrue(issubclass(kind, pyro_mcp.PyroError), kind)

    def test_a_failure_survives_another_process(self):
        import pickle

        error = pickle.loads(pickle.dumps(errors.error_from("workspace_unknown", "no fix", "list them")))
        self.assertIs(type(error), pyro_mcp.NotFoundError)
        self.assertEqual((str(error), error.code, error.hint), ("no fix", "workspace_unknown", "list them"))

    def test_a_manager_of_somebody_elses_cannot_be_awaited(self):
        with self.assertRaises(pyro_mcp.InvalidArgumentError):
            sandbox.Workspace("fix", Pyro(Recorder())).exec_stream("true")


class Layers(unittest.TestCase):
    MODULES = ((sandbox, aio), (parts, aio_parts), (streams, aio_streams))

    def test_what_can_be_waited_for_can_be_awaited(self):
        renamed = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__", "__next__": "__anext__"}
        pairs = [
            (name, waits, getattr(other, f"Async{name}"))
            for module, other in self.MODULES
            for name, waits in vars(module).items()
            if inspect.isclass(waits) and waits.__module__ == module.__name__
        ]
        self.assertEqual(len(pairs), 10)
        for name, waits, awaits in pairs:
            for method, value in vars(waits).items():
                other = vars(awaits).get(renamed.get(method, method))
                self.assertIsNotNone(other, f"{name}.{method}")
                if inspect.isfunction(value):
                    self.assertEqual(signature(value), signature(other), f"{name}.{method}")
            self.assertEqual(len(vars(waits)), len(vars(awaits)), name)

    def test_everything_the_package_names_is_there(self):
        for name in pyro_mcp.__all__:
            self.assertIsNotNone(getattr(pyro_mcp, name), name)
        with self.assertRaises(AttributeError):
            pyro_mcp.Daemon  # noqa: B018

    def test_a_sandbox_that_was_not_started_says_so(self):
        with self.assertRaises(pyro_mcp.ConflictError) as raised:
            pyro_mcp.Sandbox("debian:12", client=Pyro(Recorder())).exec("true")
        self.assertEqual(raised.exception.code, "workspace_not_running")


if __name__ == "__main__":
    unittest.main()
