"""The options of `bge serve`: each is a flag and an environment variable; the flag wins."""

import argparse
import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from engine.errors import InputError
from engine.literals import PRECISIONS, Precision
from engine.serve import values
from engine.serve.http.tokens_file import TokensFile, read_tokens_file
from engine.serve.model_choices import ModelChoice, read_choices, with_values
from engine.system.command_line import parse

TOKENS = "BGE_API_TOKENS"
NO_QUEUE = "none"
OWN, CL100K, REFUSE = IDS = "own", "cl100k", "refuse"  # what --openai-ids may be


def _option(default: Any, help_: str, parse: Callable[[str], Any] = str) -> Any:
    return field(default=default, metadata={"help": help_, "parse": parse})


_precisions = values.per_model(values.one_of(PRECISIONS))
_threads = values.per_model(values.positive)
PER_MODEL = ("precision", "threads")  # fields of Settings and of ModelChoice
REPEATED = (read_choices, _precisions, _threads)

METAVARS: dict[Callable[[str], Any], str] = {
    values.positive: "N",
    values.seconds: "SECONDS",
    values.port: "PORT",
    read_choices: "NAME",
    _precisions: "PRECISION",
    _threads: "N",
    read_tokens_file: "FILE",
}


@dataclass(frozen=True)
class Settings:
    """The options. The field `max_batch_tokens` is the flag --max-batch-tokens and the variable
    BGE_MAX_BATCH_TOKENS."""

    model: tuple[ModelChoice, ...] = _option(
        (ModelChoice("bge-base-en-v1.5"),),
        "model to serve, by name or folder; NAME=ALIAS,ALIAS gives it more names. Repeat the flag "
        "for several models (in the variable: separated by spaces). The first one serves the "
        "routes that name no model [bge-base-en-v1.5]",
        read_choices,
    )
    precision: Precision = _option(  # noqa: RUF009
        "float32",
        f"{', '.join(PRECISIONS)}; MODEL=PRECISION for one model, by its name, folder or alias in "
        "--model. Repeat the flag for several (in the variable: separated by spaces)",
        _precisions,
    )
    threads: int | None = _option(
        None, "threads per model, or MODEL=N for one, as above [all usable cores]", _threads
    )
    offline: bool = _option(False, "do not download anything", values.flag)
    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(8787, "port to listen on; 0 chooses a free one", values.port)
    uds: str = _option(
        "",
        "Unix socket to listen on instead of --host and --port; the umask decides who may connect",
    )
    allow_anonymous: bool = _option(
        False, f"serve other machines although {TOKENS} is not set", values.flag
    )
    tokens_file: TokensFile | None = _option(  # noqa: RUF009
        None,
        f"file of API tokens, one a line, besides those of {TOKENS}; SIGHUP reads it again",
        read_tokens_file,
    )
    max_batch_tokens: int = _option(2048, "maximum tokens per batch", values.positive)
    max_waiting_texts: int = _option(
        512, "queued texts above which requests get 429", values.positive
    )
    max_waiting_tokens: int = _option(65_536, "the same limit in queued tokens", values.positive)
    max_waiting_bytes: int = _option(
        500_000_000, "the same limit in bytes of all request bodies in memory", values.positive
    )
    max_client_batch_size: int = _option(
        2048, "maximum texts per request to TEI's routes", values.positive
    )
    default_prompt: str = _option(
        "", "put before each text of requests that name no prompt [the checkpoint's]"
    )
    cors_allow_origin: str = _option(
        "", "origins of web pages that may use the server, separated by spaces; * for all [none]"
    )
    trusted_proxies: tuple[str, ...] = _option(
        (),
        "reverse proxies whose X-Forwarded-For names the client in the log, and which may open any "
        "number of connections: addresses or networks, separated by spaces; unix for the Unix "
        "socket [none]",
        values.proxies,
    )
    openai_ids: str = _option(
        REFUSE,
        "token ids on OpenAI's route: own, if clients send ids of this model's tokenizer; cl100k, "
        "if they send those of OpenAI's models, as LangChain does, which become text; or refuse",
        values.one_of(IDS),
    )
    max_body_bytes: int = _option(10_000_000, "maximum bytes of a request body", values.positive)
    max_connections: int = _option(
        4096, "connections above which requests get 503", values.positive
    )
    request_timeout: float = _option(
        60.0, "total time limit of a request in seconds", values.seconds
    )
    read_timeout: float = _option(
        20.0,
        "time limit in seconds for a client to send a request head, to send a body, and to read "
        "the next part of a response",
        values.seconds,
    )
    keep_alive: int = _option(
        75, "seconds after which idle connections are closed", values.positive
    )
    queue: str = _option(
        "",
        "database of the batch queue: sqlite:///FILE, postgresql://..., or none "
        "[a SQLite file in the user's state folder]",
    )
    queue_concurrency: int = _option(8, "items of queued batches computed at once", values.positive)
    queue_retention: float = _option(
        86_400.0, "seconds to keep results of queued batches", values.seconds
    )
    queue_max_requests: int = _option(
        1000, "queued batches above which more get 429", values.positive
    )
    access_log: bool = _option(True, "log one JSON line per request to standard error", values.flag)
    otlp_endpoint: str = _option(
        "",
        "URL of an OpenTelemetry collector that gets traces over HTTP, such as "
        "http://127.0.0.1:4318 [OTEL_EXPORTER_OTLP_ENDPOINT]",
    )
    tokens: tuple[str, ...] = ()  # only a variable: other users can see a process's arguments

    def __post_init__(self) -> None:
        local = self.uds or is_loopback(self.host)
        if not (self.all_tokens or self.allow_anonymous or local):
            raise InputError(
                f"--host {self.host} can be reached from other machines and {TOKENS} is not set. "
                f"Set it or --tokens-file, listen on 127.0.0.1, or use --allow-anonymous."
            )

    @property
    def all_tokens(self) -> tuple[str, ...]:
        """The tokens of the variable and of the file."""
        return self.tokens + (self.tokens_file.tokens if self.tokens_file else ())


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


OPTIONS = tuple(option for option in fields(Settings) if option.metadata)


def flags() -> argparse.ArgumentParser:
    """The parser of the flags. Its result has only those that were given."""
    parser = argparse.ArgumentParser(
        prog="bge serve",
        description="Serve embeddings with the APIs of Cloudflare, OpenAI and "
        "text-embeddings-inference.",
        epilog="Each option is also an environment variable: --max-batch-tokens is "
        f"BGE_MAX_BATCH_TOKENS. {TOKENS} holds the tokens that clients must present, separated by "
        "spaces or commas.",
    )
    for option in OPTIONS:
        _add_flag(parser, option)
    return parser


def parse_settings(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, then variables, then defaults. Raises SystemExit(2) like argparse for
    invalid values, and InputError."""
    parser = flags()
    defaults = {option.name: _default(parser, option, environ) for option in OPTIONS}
    given = vars(parse(parser, argv))
    if "model" in given:
        given["model"] = tuple(one for models in given["model"] for one in models)
    tokens = tuple(environ.get(TOKENS, "").replace(",", " ").split())
    found = {**defaults, **given}
    for name in PER_MODEL:
        by_model = _merged(given.get(name, [defaults[name]]))
        found[name] = by_model.pop("", getattr(Settings, name))
        try:
            found["model"] = with_values(found["model"], name, by_model)
        except ValueError as error:
            parser.error(f"--{name} {error}")
    return Settings(**found, tokens=tokens)


def _merged(given: Sequence[Any]) -> dict[str, Any]:
    """The values of a per-model option; a default is no dictionary."""
    return {model: each for one in given if isinstance(one, dict) for model, each in one.items()}


def variable_of(option: Field[Any]) -> str:
    """The environment variable of an option."""
    return f"BGE_{option.name.upper()}"


def about(option: Field[Any]) -> str:
    """What an option sets, and its default in brackets."""
    told = option.metadata["parse"] in (values.flag, read_choices) or not option.default
    return f"{option.metadata['help']}{'' if told else f' [{option.default}]'}"


def _default(
    parser: argparse.ArgumentParser, option: Field[Any], environ: Mapping[str, str]
) -> Any:
    variable = variable_of(option)
    if not environ.get(variable):
        return option.default
    try:
        return option.metadata["parse"](environ[variable])
    except ValueError as error:
        parser.error(f"{variable} is {environ[variable]!r}: {error}")


def _add_flag(parser: argparse.ArgumentParser, option: Field[Any]) -> None:
    parse = option.metadata["parse"]
    how: dict[str, Any] = {"help": about(option), "default": argparse.SUPPRESS}
    if parse is values.flag:
        how["action"] = argparse.BooleanOptionalAction
    else:
        how["action"] = "append" if parse in REPEATED else "store"
        how["type"] = values.with_reason(parse)
        how["metavar"] = METAVARS.get(parse, option.name.upper())
    parser.add_argument(f"--{option.name.replace('_', '-')}", **how)
