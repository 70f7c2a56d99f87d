"""The architecture: which module may import which, lengths of files, the cost of importing.

Imports are read from the syntax tree, so that imports inside functions and for type checkers count
too. A "part" is a folder or a module directly in engine/.
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

PACKAGE = Path(engine.__file__).parent
ROOT = PACKAGE.parent
TESTS = Path(__file__).parent

# A module imports only from its own part and from layers listed before its own.
LAYERS = (
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
    {"util", "explain", "compat"},
    {"serve", "jobs", "adapters", "lesson", "explore"},
    {"search"},
    {"export"},
    {"cli"},
    {"__main__"},
)
PURE = {"model", "batch"}  # import nothing of engine/
KERNELS = {
    "fast.codegen.micro_kernel",
    "fast.kernels",
}  # arrays in, arrays out: import nothing from outside fast/
# What the applications may import from the rest, and the types of objects that it returns.
PUBLIC_API = {"__init__", "errors", "literals"}
PUBLIC_TYPES = {
    "engine.vectors.chunks.Chunks", "engine.embedder.Embedder", "engine.tokenizer.tokens.Tokens",
    "engine.search.index.Hit",
}  # fmt: skip
SEARCHED = {
    "jobs.options",
    "jobs.writing.manifest",
    "jobs.writing.exchange",
    "jobs.writing.folders",
    "jobs.writing.journal",
    "jobs.writing.record",
    "jobs.writing.stored",
}  # jobs' outputs
EXPORTED = {"jobs.options", "jobs.writing.stored", "search.output", "system.progress"}
EXPLAINED = {
    "model", "batch", "checks", "options", "checkpoint.config", "checkpoint.weights",
    "tokenizer.tokens", "system.blas", "system.threads",
}  # fmt: skip  # what runs the model

LEARNED = {"lesson.bert", "lesson.chapter", "lesson.chapters", "lesson.exercise"}

# Which modules may import each library, except numpy and the standard library.
IMPORTED_IN = {
    "tokenizers": {"tokenizer"},
    "safetensors": {"checkpoint.tensor_files"},
    "huggingface_hub": {"catalog.hub"},
    "filelock": {"catalog.staging"},
    "numba": {"fast"},
    "argcomplete": {"cli.main"},
    "llvmlite": {"fast", "system.cpu"},
    "starlette": {"serve", "explore"},
    "uvicorn": {"serve", "explore"},
    "uvloop": {"serve"},
    "orjson": {"serve", "export.postgres"},
    "prometheus_client": {"serve"},
    "sqlalchemy": {"serve.queue"},
    "opentelemetry": {"serve.http.spans"},
    "tiktoken": {"serve.dialects.openai_ids"},
    "pyarrow": {"jobs", "search", "export", "cli.outputs"},
    "apsw": {"export.sqlite"},
    "sqlite_vec": {"export.sqlite"},
    "psycopg": {"export.postgres"},
    "lancedb": {"export.lance"},
    "ray": {"jobs.ray", "jobs.cluster"},
    "torch": {"compat.tensors"},
    "bertopic": {"adapters.bertopic"},
    "chromadb": {"adapters.chroma"},
    "haystack": {"adapters.haystack"},
    "keybert": {"adapters.keybert"},
    "langchain_core": {"adapters.langchain"},
    "llama_index": {"adapters.llama_index"},
    "mteb": {"adapters.mteb"},
    "sklearn": {"adapters.sklearn"},
}
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "shelve"}
TOP_LEVEL = {
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "engine", "weights", "tests", "bench",
}  # fmt: skip
BUILT = {"build", "dist", "PKG-INFO", "setup.cfg"}  # the last two in a source distribution

FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
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


def own_imports(module: str, but: Set[str] = frozenset()) -> set[str]:
    """The modules of engine/ that the file imports, such as "errors", "fast.job", "__init__"."""
    found = set()
    for name in imported(module) - but:
        first, _, rest = name.partition(".")
        if first == "engine":
            words = rest.split(".") if rest else []
            while words and ".".join(words) not in FILES and not is_package(".".join(words)):
                words.pop()
            found.add(".".join(words) or "__init__")
    return found


def is_package(name: str) -> bool:
    return f"{name}.__init__" in FILES


def part(module: str) -> str:
    """The entry points of -m stand above all others, whatever their folder."""
    return "__main__" if module.endswith("__main__") else module.partition(".")[0]


def parents(module: str) -> set[str]:
    """The module and the folders around it: "fast.weights.cache", "fast.weights", "fast"."""
    words = module.split(".")
    return {".".join(words[: i + 1]) for i in range(len(words))}


def layer(module: str) -> int:
    for level, modules in enumerate(LAYERS):
        if part(module) in modules:
            return level
    raise AssertionError(f"engine/{module} is in no layer: add it to LAYERS")


def libraries(module: str) -> set[str]:
    """The libraries that the file imports, except numpy and the standard library."""
    known = sys.stdlib_module_names | {"engine", "numpy"}
    return {name.partition(".")[0] for name in imported(module)} - known


@each_module
def test_imports_point_down(module: str) -> None:
    for target in own_imports(module):
        if part(target) != part(module):
            assert layer(target) < layer(module), f"engine/{module} imports engine/{target}"


def test_the_pure_files_import_nothing_of_the_engine() -> None:
    assert {module: own_imports(module) for module in PURE} == {module: set() for module in PURE}
    for module in KERNELS:
        assert {part(name) for name in own_imports(module)} <= {"fast"}


def test_the_model_is_numpy_and_math() -> None:
    assert {name.partition(".")[0] for name in imported("model")} == {"math", "numpy"}


@each_module
def test_the_model_and_the_kernels_do_not_import_each_other(module: str) -> None:
    if part(module) in ("fast", "model"):
        assert not {"model", "fast"} & {part(name) for name in own_imports(module)} - {part(module)}


@each_module
def test_applications_import_only_the_public_api(module: str) -> None:
    allowed = {
        # catalog.registry: models by the names that Cloudflare and the hub give them
        "serve": PUBLIC_API | {"catalog.registry", "system.command_line", "system.folders"},
        "jobs": PUBLIC_API | {"system.command_line", "system.files", "system.progress"},
        "util": PUBLIC_API,
        "explain": PUBLIC_API | EXPLAINED,
        "lesson": PUBLIC_API | EXPLAINED | {"explain", "fast.weights.quantize"},
        "compat": PUBLIC_API | {"catalog.registry", "options", "vectors.similarity"},
        "explore": PUBLIC_API | {"explain", "model", "system.command_line"},
        "adapters": PUBLIC_API | {"compat.arguments"},
        "search": PUBLIC_API | SEARCHED | {"system.blas", "system.cores"},
        "export": PUBLIC_API | EXPORTED,
        "cli": PUBLIC_API
        | {"catalog.registry", "catalog.pull", "catalog.stored", "serve", "jobs", "search"}
        | {"explain", "export", "explore"}
        | {"system.command_line", "system.folders", "system.progress"}
        | LEARNED,
    }
    if part(module) in allowed:
        foreign = {name for name in own_imports(module, PUBLIC_TYPES) if part(name) != part(module)}
        assert foreign <= allowed[part(module)]


@each_module
def test_each_library_is_imported_in_one_part(module: str) -> None:
    for library in libraries(module):
        assert library in IMPORTED_IN, (
            f"engine/{module} imports {library}, which is not in IMPORTED_IN"
        )
        allowed = IMPORTED_IN[library]
        assert parents(module) & allowed, f"{library} may be imported in {allowed}, not in {module}"


@each_module
def test_no_import_is_dynamic(module: str) -> None:
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
def test_there_are_no_import_cycles(module: str) -> None:
    reached: set[str] = set()
    todo = own_imports(module)
    while todo:
        target = todo.pop()
        reached.add(target)
        todo |= own_imports(target if target in FILES else f"{target}.__init__") - reached
    assert module not in reached


def test_no_folder_holds_more_than_14_files() -> None:
    sizes = Counter(module.rpartition(".")[0] for module in FILES)
    assert max(sizes.values()) <= 14, sizes


def test_security_names_tests_that_exist() -> None:
    named = set(re.findall(r"`((?:\w+/)*test_\w+)`", (ROOT / "SECURITY.md").read_text("utf-8")))
    present = {
        path.relative_to(TESTS).with_suffix("").as_posix() for path in TESTS.rglob("test_*.py")
    }
    assert len(named) > 20 and not named - present


@each_module
def test_files_are_short(module: str) -> None:
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
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    extra = {name for name in present - TOP_LEVEL - BUILT if not name.endswith(".egg-info")}
    assert not extra
    assert present >= TOP_LEVEL


def test_the_package_exports_what_it_says() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    exported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine.")
        for alias in node.names
    }
    assert set(engine.__all__) == exported
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


@pytest.mark.slow
def test_importing_the_engine_costs_little_over_numpy() -> None:
    """The limit is 0.10 s. 0.003 s was measured, so that a very busy machine passes too."""
    code = (
        "import time, numpy; began = time.perf_counter(); import engine; "
        "print(time.perf_counter() - began)"
    )
    assert statistics.median(float(python(code)) for _ in range(5)) < 0.10


def test_interfaces_that_are_not_public_have_an_upper_bound() -> None:
    """We use numba.core and subclass uvicorn's protocol, which are both private."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    bounds = {name: bound for name, _, bound in (each.partition(">=") for each in required)}
    assert bounds["numba"].startswith("0.62,<")  # 0.61 fails
    assert ",<" in bounds["uvicorn"]


def test_every_package_is_in_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {
        ".".join(["engine", *name.split(".")[:-1]]) for name in FILES if name.endswith("__init__")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages
