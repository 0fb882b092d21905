"""The stub file names what the module has."""

import ast
import inspect
from pathlib import Path

import pyasynclogger
from pyasynclogger import _native

PACKAGE = Path(pyasynclogger.__file__).parent


def test_the_stubs_name_all_classes_functions_and_methods():
    tree = ast.parse((PACKAGE / "_native.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in dir(_native):
        thing = getattr(_native, name)
        if name.startswith("_"):
            continue
        if inspect.isclass(thing):
            stub = {getattr(node, "name", None) for node in classes[name].body}
            stub |= {
                node.target.id for node in classes[name].body if isinstance(node, ast.AnnAssign)
            }
            public = {member for member in vars(thing) if not member.startswith("_")}
            assert public <= stub, name
        else:
            own = inspect.signature(thing).parameters
            arguments = functions[name].args
            assert list(own) == [it.arg for it in arguments.args + arguments.kwonlyargs], name
    assert (PACKAGE / "py.typed").exists()
