"""The walls of the house: who may import whom, how long a file may be, what importing costs.

Imports are read from the syntax tree, so that those inside functions and those for type checkers
count like any other.
"""

import ast
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import pytest

import engine

HOUSE = Path(engine.__file__).parent
ROOT = HOUSE.parent
TESTS = Path(__file__).parent

# Arrows point down: a module imports only what stands in a line above its own.
FLOORS = (
    {"_version", "errors", "literals"},
    {"model", "batch", "system"},
    {"checkpoint", "checks"},
    {"catalog", "tokenizer"},
    {"options", "reference", "vectors"},
    {"fast"},
    {"token_embedder"},
    {"embedder"},
    {"loading"},
    {"__init__"},
    {"serve", "jobs"},
    {"cli"},
    {"__main__"},
)
PURE = {"model", "batch"}  # nothing of ours
KERNELS = {
    "fast.codegen.micro_kernel",
    "fast.kernels",
}  # arrays in, arrays out: nothing of ours from outside fast/
DOOR = {"__init__", "errors", "literals"}  # all that the outer rooms see of the inner ones, and
HANDED_OUT = {
    "engine.embedder.Embedder",
    "engine.tokenizer.tokens.Tokens",
}  # the types that they hand out

# Who may import what is neither ours, nor numpy, nor the standard library's.
ROOM_OF = {
    "tokenizers": {"tokenizer"},
    "safetensors": {"checkpoint.tensor_files"},
    "huggingface_hub": {"catalog.hub"},
    "filelock": {"catalog.pull"},
    "numba": {"fast"},
    "llvmlite": {"fast"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
    "uvloop": {"serve"},
    "orjson": {"serve"},
    "prometheus_client": {"serve"},
    "dbos": {"serve.queue"},
    "sqlalchemy": {"serve.queue.store", "serve.queue.keeper"},
    "pyarrow": {"jobs"},
    "ray": {"jobs.ray", "jobs.cluster"},
}
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "shelve"}
TOP_LEVEL = {
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "engine", "weights", "tests", "bench",
}  # fmt: skip
BUILT = {"build", "dist"}

FILES = {
    ".".join(path.relative_to(HOUSE).with_suffix("").parts): path
    for path in sorted(HOUSE.rglob("*.py"))
}
each_module = pytest.mark.parametrize("module", FILES)


@cache
def imported(module: str) -> frozenset[str]:
    """Everything that the file imports, in full: "engine.errors.EngineError", "numpy"."""
    names = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; imports are written in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def ours(module: str, but: Set[str] = frozenset()) -> set[str]:
    """The modules of ours that the file imports: "errors", "fast.gemm"; "__init__" is the door."""
    found = set()
    for name in imported(module) - but:
        room, _, rest = name.partition(".")
        if room == "engine":
            words = rest.split(".") if rest else []
            while words and ".".join(words) not in FILES and not is_package(".".join(words)):
                words.pop()
            found.add(".".join(words) or "__init__")
    return found


def is_package(name: str) -> bool:
    return f"{name}.__init__" in FILES


def room(module: str) -> str:
    return module.partition(".")[0]


def rooms(module: str) -> set[str]:
    """The module and the folders around it: "fast.weights.cache", "fast.weights", "fast"."""
    words = module.split(".")
    return {".".join(words[: i + 1]) for i in range(len(words))}


def floor(module: str) -> int:
    for level, modules in enumerate(FLOORS):
        if room(module) in modules:
            return level
    raise AssertionError(f"engine/{module} stands on no floor: give it a place in FLOORS")


def others(module: str) -> set[str]:
    """Top-level packages that are neither ours, nor numpy, nor the standard library's."""
    known = sys.stdlib_module_names | {"engine", "numpy"}
    return {name.partition(".")[0] for name in imported(module)} - known


@each_module
def test_arrows_point_down(module: str) -> None:
    for target in ours(module):
        if room(target) != room(module):
            assert floor(target) < floor(module), f"engine/{module} imports engine/{target}"


def test_the_pure_files_import_nothing_of_ours() -> None:
    assert {module: ours(module) for module in PURE} == {module: set() for module in PURE}
    for module in KERNELS:
        assert {room(name) for name in ours(module)} <= {"fast"}


def test_the_model_is_numpy_and_math() -> None:
    assert {name.partition(".")[0] for name in imported("model")} == {"math", "numpy"}


@each_module
def test_the_fast_path_does_not_lean_on_its_twin(module: str) -> None:
    if room(module) in ("fast", "model"):
        assert not {"model", "fast"} & {room(name) for name in ours(module)} - {room(module)}


@each_module
def test_the_outer_rooms_see_only_the_door(module: str) -> None:
    allowed = {
        # catalog.registry: models by the names that Cloudflare and the hub give them
        "serve": DOOR | {"catalog.registry", "system.folders"},
        "jobs": DOOR | {"system.files"},
        "cli": DOOR | {"catalog.registry", "catalog.pull", "serve", "jobs"},
    }
    if room(module) in allowed:
        strangers = {name for name in ours(module, HANDED_OUT) if room(name) != room(module)}
        assert strangers <= allowed[room(module)]


@each_module
def test_each_library_has_one_room(module: str) -> None:
    for library in others(module):
        assert library in ROOM_OF, f"engine/{module} imports {library}, which has no room"
        homes = ROOM_OF[library]
        assert rooms(module) & homes, f"{library} belongs in {homes}, not in {module}"


@each_module
def test_no_import_hides_from_this_test(module: str) -> None:
    source = FILES[module].read_text("utf-8")
    assert "import_module" not in source and "__import__" not in source


@each_module
def test_nothing_can_unpickle(module: str) -> None:
    assert not PICKLES & {name.partition(".")[0] for name in imported(module)}
    assert "allow_pickle=True" not in FILES[module].read_text("utf-8")


def test_every_module_has_a_test_file_at_the_same_place() -> None:
    """engine/a/b.py is tested in tests/a/test_b.py."""
    for module in FILES:
        *folders, name = module.split(".")
        if name not in {"__init__", "__main__", "_version"}:
            assert TESTS.joinpath(*folders, f"test_{name}.py").is_file(), module


@each_module
def test_no_import_leads_back(module: str) -> None:
    reached: set[str] = set()
    todo = ours(module)
    while todo:
        target = todo.pop()
        reached.add(target)
        todo |= ours(target if target in FILES else f"{target}.__init__") - reached
    assert module not in reached


def test_no_folder_holds_more_than_14_files() -> None:
    sizes = Counter(module.rpartition(".")[0] for module in FILES)
    assert max(sizes.values()) <= 14, sizes


def test_security_names_tests_that_exist() -> None:
    named = set(re.findall(r"`((?:\w+/)*test_\w+)`", (ROOT / "SECURITY.md").read_text("utf-8")))
    there = {
        path.relative_to(TESTS).with_suffix("").as_posix() for path in TESTS.rglob("test_*.py")
    }
    assert len(named) > 20 and not named - there


@each_module
def test_a_file_is_read_in_one_sitting(module: str) -> None:
    lines = len(FILES[module].read_text("utf-8").splitlines())
    assert lines <= (200 if module == "model" else 250), f"{lines} lines"


def function_lengths() -> Iterator[int]:
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = [*function_lengths()]
    assert statistics.median(lengths) < 12
    assert max(lengths) <= 40


def test_the_top_level_holds_what_the_design_allows() -> None:
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    strangers = {name for name in there - TOP_LEVEL - BUILT if not name.endswith(".egg-info")}
    assert not strangers
    assert there >= TOP_LEVEL


def test_the_door_exports_what_it_says() -> None:
    tree = ast.parse((HOUSE / "__init__.py").read_text("utf-8"))
    brought = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine.")
        for alias in node.names
    }
    assert set(engine.__all__) == brought
    assert engine.__all__ == sorted(engine.__all__)
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        engine.lod  # noqa: B018


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_importing_the_engine_loads_nothing_heavy() -> None:
    loaded = set(json.loads(python("import engine, json, sys; print(json.dumps([*sys.modules]))")))
    heavy = {
        "numba", "llvmlite", "numpy", "tokenizers", "safetensors", "huggingface_hub",
        "http.client", "urllib.request", "urllib3", "requests", "httpx", "aiohttp",
        "asyncio", "starlette", "uvicorn", "pyarrow", "ray", "torch",
    }  # fmt: skip
    assert not heavy & loaded


def test_importing_the_engine_costs_little_over_numpy() -> None:
    """The bar is 0.10 s; 0.003 s was measured, so a machine thirty times as busy still passes."""
    code = (
        "import time, numpy; began = time.perf_counter(); import engine; "
        "print(time.perf_counter() - began)"
    )
    assert statistics.median(float(python(code)) for _ in range(5)) < 0.10


def test_interfaces_that_are_not_public_have_an_upper_bound() -> None:
    """numba.core is numba's own, and so is uvicorn's protocol class, extended in serve.http."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    bounds = {name: bound for name, _, bound in (each.partition(">=") for each in wanted)}
    assert bounds["numba"].startswith("0.62,<")  # 0.61 fails
    assert ",<" in bounds["uvicorn"] and ",<" in bounds["dbos"]


def test_every_package_is_in_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {
        ".".join(["engine", *name.split(".")[:-1]]) for name in FILES if name.endswith("__init__")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages
