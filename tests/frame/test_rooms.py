"""The order of the rooms: imports run one way, in no circle, and reading a page brings in no drawing."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAVES = ("store", "machines", "resources", "settings")
ROOMS = (
    *("iscn", "files", "shape", "draw", "judge", "networks", "read", "read.train", "screening", "study"),
    *("__init__", "cli", "__main__"),
)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for top in ("karyo_lib", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
}


def names_of(package):
    """Name -> module that a package's lazy table says it comes from."""
    tree = ast.parse(MODULES[f"{package}.__init__"].read_text(encoding="utf-8"))
    tables = [k.value for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "submod_attrs"]
    return {
        name: f"{package}.{module}"
        for table in tables
        for module, names in ast.literal_eval(table).items()
        for name in names
    }


def imported(node):
    """Modules of ours that an import statement reaches, behind the packages that hand names on."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in MODULES]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = f"{node.module}.__init__"
    given = names_of(node.module) if package in MODULES else {}
    places = [(f"{node.module}.{a.name}", given.get(a.name), node.module, package) for a in node.names]
    return [next(p for p in place if p in MODULES) for place in places if MODULES.keys() & {*place}]


class _Runs(ast.NodeTransformer):
    """Leaves what runs: an import for a type checker alone brings nothing in."""

    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def parsed(path):
    return _Runs().visit(ast.parse(path.read_text("utf-8")))


GRAPH = {
    name: {module for node in ast.walk(parsed(path)) for module in imported(node)}
    for name, path in MODULES.items()
}


def room(module):
    """Position of a module's room: what it imports must not stand behind it."""
    top, _, name = module.partition(".")
    if top != "karyo_lib":
        return len(ROOMS)
    if name.split(".")[0] in LEAVES:
        return -1
    return max(i for i, r in enumerate(ROOMS) if name == r or name.startswith(f"{r}."))


def test_imports_run_up_the_list_of_rooms_only():
    pairs = [(name, other) for name, others in GRAPH.items() for other in others]
    assert len(pairs) > 300  # the imports were seen
    assert not [(a, b) for a, b in pairs if room(b) > room(a) and b != "karyo_lib.__init__"]  # its version


def test_no_circle():
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())  # a CycleError names the modules


def test_no_file_is_long():
    assert not [name for name, path in MODULES.items() if len(path.read_text("utf-8").splitlines()) > 400]


def taken(path):
    """Every (module of ours, name) that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("karyo_lib"):
            yield from ((node.module, alias.name) for alias in node.names)


@functools.cache
def defined(module):
    """Names at the top of a module, and what it imports anywhere."""
    tree = ast.parse((MODULES.get(module) or MODULES[f"{module}.__init__"]).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.With):
            names |= {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return names | {alias.asname or alias.name for node in imports for alias in node.names}


def test_every_name_that_is_imported_is_there():
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    asked = {pair for path in files for pair in taken(path)}
    for package in (name.removesuffix(".__init__") for name in MODULES if name.endswith(".__init__")):
        given = names_of(package)
        asked -= {(package, name) for name in given}
        asked |= {(module, name) for name, module in given.items()}
    submodules = {tuple(name.removesuffix(".__init__").rsplit(".", 1)) for name in MODULES}
    assert not [(module, name) for module, name in asked - submodules if name not in defined(module)]


def brought_in(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_reading_a_page_imports_no_drawing_and_no_data_set():
    modules = brought_in("karyo_lib.read.reader")
    assert "karyo_lib.read.reader" in modules
    never = ("karyo_lib.draw.", "karyo_lib.read.train", "karyo_lib.files.bank", "karyo_lib.study")
    assert not [name for name in modules if name.startswith(never)]


@pytest.mark.parametrize("module", ["karyo_lib", "karyo_lib.cli"])
def test_the_front_door_opens_without_the_house(module):
    heavy = {"keras", "tensorflow", "pandas", "sklearn", "matplotlib", "scipy", "cv2"}
    assert not heavy & set(brought_in(module))
