"""The options of `bge serve`: each by flag and by environment, the flag first."""

import argparse
import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from engine.errors import InputError
from engine.literals import PRECISIONS, Precision

TOKENS = "BGE_API_TOKENS"

N = TypeVar("N", int, float)


def _option(default: Any, help_: str, **how: Any) -> Any:
    return field(default=default, metadata={"help": help_, **how})


def _positive(text: str) -> int:
    return _at_least(int(text), 1)


def _seconds(text: str) -> float:
    return _at_least(float(text), 0.001)


def _at_least(value: N, least: N) -> N:
    if not least <= value < float("inf"):
        raise ValueError(f"must be at least {least}")
    return value


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError("must be from 0 to 65535")
    return port


def _precision(text: str) -> Precision:
    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise ValueError(f"must be one of {', '.join(PRECISIONS)}")


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("must be 1 or 0")
    return known[text.lower()]


SHOWN: dict[Callable[[str], Any], str] = {_positive: "N", _seconds: "SECONDS", _port: "PORT"}


@dataclass(frozen=True)
class ModelChoice:
    """A model to serve and the names it answers to besides its own."""

    source: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ModelChoice":
        source, _, names = text.partition("=")
        if not source:
            raise ValueError("must be NAME, FOLDER or either with =ALIAS[,ALIAS...]")
        return cls(source, tuple(name for name in names.split(",") if name))


def _models(text: str) -> tuple[ModelChoice, ...]:
    return tuple(ModelChoice.parse(word) for word in text.split())


@dataclass(frozen=True)
class Settings:
    """All that `bge serve` can be told; a field `max_batch_tokens` is the flag
    --max-batch-tokens and the variable BGE_MAX_BATCH_TOKENS."""

    model: tuple[ModelChoice, ...] = _option(
        (ModelChoice("bge-base-en-v1.5"),),
        "name or folder, and after a sign more names to answer to: NAME=ALIAS,ALIAS; repeatable, "
        "in the variable separated by spaces; the first serves the routes that name no model "
        "[bge-base-en-v1.5]",
        parse=_models,
    )
    precision: Precision = _option(  # noqa: RUF009
        "float32", "float32, int16, int8 or reference", parse=_precision
    )
    threads: int | None = _option(
        None, "threads that compute, in each model [all cores]", parse=_positive
    )
    offline: bool = _option(False, "never download: the weights must be here", parse=_flag)
    host: str = _option("127.0.0.1", "address to listen on", parse=str)
    port: int = _option(8787, "port to listen on; 0 takes a free one", parse=_port)
    allow_anonymous: bool = _option(
        False, f"serve beyond this machine although {TOKENS} is not set", parse=_flag
    )
    max_batch_tokens: int = _option(2048, "tokens computed in one go", parse=_positive)
    max_waiting_texts: int = _option(512, "texts that wait before 429", parse=_positive)
    max_waiting_tokens: int = _option(65_536, "tokens that wait before 429", parse=_positive)
    max_waiting_bytes: int = _option(
        500_000_000, "bytes of bodies that wait before 429", parse=_positive
    )
    max_client_batch_size: int = _option(32, "texts in a request to TEI's routes", parse=_positive)
    max_body_bytes: int = _option(10_000_000, "bytes of a request's body", parse=_positive)
    max_connections: int = _option(4096, "open connections before 503", parse=_positive)
    request_timeout: float = _option(60.0, "seconds for a request, all in all", parse=_seconds)
    read_timeout: float = _option(20.0, "seconds for a client to send it", parse=_seconds)
    keep_alive: int = _option(75, "seconds an idle connection stays open", parse=_positive)
    queue: str = _option(
        "",
        "database of the batch queue: sqlite:///FILE, postgresql://..., or none "
        "[a SQLite file in the user's state folder]",
        parse=str,
    )
    queue_concurrency: int = _option(8, "queued items computed at once", parse=_positive)
    queue_retention: float = _option(86_400.0, "seconds that results are kept", parse=_seconds)
    queue_max_requests: int = _option(1000, "queued requests before 429", parse=_positive)
    access_log: bool = _option(True, "one JSON line a request on standard error", parse=_flag)
    tokens: tuple[str, ...] = ()  # only by environment: arguments are visible to other users

    def __post_init__(self) -> None:
        if not (self.tokens or self.allow_anonymous or is_loopback(self.host)):
            raise InputError(
                f"--host {self.host} can be reached from other machines and {TOKENS} is not set: "
                f"set {TOKENS}, or listen on 127.0.0.1, or say --allow-anonymous."
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_settings(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """From flags, then environment, then defaults. SystemExit 2 as argparse does; InputError."""
    parser = argparse.ArgumentParser(
        prog="bge serve",
        description="Cloudflare's, OpenAI's and text-embeddings-inference's APIs on this machine.",
        epilog=f"Each option is also a variable: --max-batch-tokens is BGE_MAX_BATCH_TOKENS. "
        f"{TOKENS} holds the tokens that clients must present, separated by spaces or commas.",
    )
    for each in _options():
        _add(parser, each, environ)
    given = vars(parser.parse_args(argv))
    default_models = given.pop("model_default")
    given["model"] = tuple(one for group in given["model"] or default_models for one in group)
    tokens = tuple(environ.get(TOKENS, "").replace(",", " ").split())
    return Settings(**given, tokens=tokens)


def _options() -> list[Any]:
    return [each for each in fields(Settings) if "parse" in each.metadata]


def _add(parser: argparse.ArgumentParser, option: Any, environ: Mapping[str, str]) -> None:
    flag, variable = f"--{option.name.replace('_', '-')}", f"BGE_{option.name.upper()}"
    parse = option.metadata["parse"]
    default = option.default
    if environ.get(variable):
        try:
            default = parse(environ[variable])
        except ValueError as error:
            parser.error(f"{variable} is {environ[variable]!r}: {error}")
    about = option.metadata["help"]
    if option.default and parse not in (_flag, _models):
        about = f"{about} [{option.default}]"
    common = {"dest": option.name, "help": about}
    if parse is _flag:
        parser.add_argument(flag, default=default, action=argparse.BooleanOptionalAction, **common)
    elif parse is _models:
        parser.add_argument(flag, action="append", type=_typed(parse), metavar="NAME", **common)
        parser.set_defaults(model_default=[default])
    else:
        shown = SHOWN.get(parse, option.name.upper())
        parser.add_argument(flag, default=default, type=_typed(parse), metavar=shown, **common)


def _typed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The parser with its reason in argparse's message, which else keeps only a type's name."""

    def typed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return typed
