"""`bge help TOPIC` and `bge version`: what holds for all commands."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Iterable, Iterator

import engine
from engine import serve
from engine.cli import outputs

STATUSES = (
    ("0", "success"),
    ("1", "an error, which is reported without a traceback (--debug shows it)"),
    ("2", "wrong usage"),
    ("3", "`bge job` is done, but some rows were rejected"),
    ("129", "stopped by SIGHUP"),
    ("130", "stopped by Ctrl-C; `bge job` also by SIGTERM and SIGHUP"),
    ("141", "the reader of the output has closed the pipe"),
    ("143", "stopped by SIGTERM"),
)
VARIABLES = (
    ("BGE_MODEL", "the model where none is given"),
    ("BGE_WEIGHTS", "the folder of downloaded models"),
    ("BGE_CACHE", "the folder of prepared weights and kernels"),
    ("BGE_TARGET", "compute as an older kind of CPU does, such as avx2"),
    ("BGE_DEBUG", "show tracebacks"),
    ("XDG_CACHE_HOME", "the user's cache, where both folders are by default"),
    ("XDG_STATE_HOME", "the user's state, with the batch queue of `bge serve`"),
    ("HF_HOME", "the folder of huggingface_hub; its models are found too"),
    ("HF_HUB_CACHE", "the same for its models alone"),
    ("HF_ENDPOINT", "the hub to download from"),
    ("HF_TOKEN", "the token for models of the hub that are not public"),
    ("HF_HUB_OFFLINE", "1 forbids downloads, as does TRANSFORMERS_OFFLINE"),
    ("HF_HUB_ETAG_TIMEOUT", "how long to wait for a response of the hub, in seconds"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", "the progress of downloads: 0 shows it, 1 does not"),
)
TRACES = (
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "the collector of traces"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "the same; wins"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf, if it is set"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the same; wins"),
    ("OTEL_SDK_DISABLED", "true: no traces"),
    ("OTEL_TRACES_EXPORTER", "none: no traces"),
)
COMPLETION = """\
pip install 'bge-engine[completion]', and in ~/.bashrc or ~/.zshrc:

    eval "$(register-python-argcomplete bge)"

In ~/.config/fish/config.fish:

    register-python-argcomplete --shell fish bge | source
"""


def environment() -> Iterator[str]:
    """The table of environment variables."""
    yield "Everything that reads a model:\n\n" + _table(VARIABLES)
    yield "\n`bge serve` (an option of the command wins):\n\n" + _table(serve.variables())
    yield "\nTraces of `bge serve`, as OpenTelemetry defines them:\n\n" + _table(TRACES)


def statuses() -> Iterator[str]:
    """The table of exit statuses."""
    yield _table(STATUSES)


def completion() -> Iterator[str]:
    """How to make the shell complete commands and options."""
    yield COMPLETION


TOPICS = {"environment": environment, "exit": statuses, "completion": completion}


def version(options: Namespace) -> int:
    """Prints the versions of this package and of what it computes with, for reports of bugs."""
    import platform

    rows = [("bge-engine", engine.__version__), ("Python", platform.python_version())]
    rows += [(name, _installed(name)) for name in ("numpy", "numba", "tokenizers", "safetensors")]
    rows += [("machine", f"{platform.machine()} {platform.system()} {platform.release()}")]
    outputs.write_out([_table(rows)])
    return 0


def _installed(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # numba, where kernels are shipped with the wheel
        return "not installed"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns; the second is wrapped to the terminal, or to 80 characters."""
    rows = [*rows]
    left = max(len(name) for name, _ in rows) + 2
    width = max(40, min(80, outputs.terminal_width())) - left
    lines = []
    for name, about in rows:
        first, *others = textwrap.wrap(about, width, break_on_hyphens=False) or [""]
        lines += [f"{name:{left}}{first}", *(" " * left + line for line in others)]
    return "\n".join(lines) + "\n"
