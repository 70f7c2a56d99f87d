"""Every option by flag and by environment."""

from dataclasses import fields
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.serve.model_choices import ModelChoice
from engine.serve.settings import Settings, is_loopback, parse_settings

OTHER = {  # a value that is not the default, for every option
    "model": "small=@cf/baai/bge-small-en-v1.5,mini",
    "precision": "int8",
    "threads": "3",
    "offline": "1",
    "host": "::1",
    "port": "0",
    "uds": "/run/bge.sock",
    "allow_anonymous": "1",
    "max_batch_tokens": "512",
    "max_waiting_texts": "9",
    "max_waiting_tokens": "99",
    "max_waiting_bytes": "999",
    "max_client_batch_size": "7",
    "max_body_bytes": "1000",
    "max_connections": "10",
    "request_timeout": "1.5",
    "read_timeout": "2.5",
    "keep_alive": "3",
    "queue": "none",
    "queue_concurrency": "1",
    "queue_retention": "60",
    "queue_max_requests": "5",
    "openai_ids": "own",
    "default_prompt": "query: ",
    "cors_allow_origin": "https://a.example https://b.example",
    "trusted_proxies": "10.0.0.0/8 ::1 unix",
    "tokens_file": str(Path(__file__).with_name("tokens.txt")),
    "access_log": "0",
    "otlp_endpoint": "http://127.0.0.1:4318",
}
NAMES = [each.name for each in fields(Settings) if each.name != "tokens"]


def flag(name):
    return "--" + name.replace("_", "-")


def test_every_option_is_tested_here():
    assert sorted(OTHER) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_by_environment_and_by_flag(name):
    by_environment = parse_settings([], {f"BGE_{name.upper()}": OTHER[name]})
    if OTHER[name] in "01" and isinstance(getattr(Settings(), name), bool):
        words = [flag(name) if OTHER[name] == "1" else flag("no_" + name)]
    else:
        words = [flag(name), OTHER[name]]
    by_flag = parse_settings(words, {})
    assert by_environment == by_flag
    assert getattr(by_flag, name) != getattr(Settings(), name)
    changed = [each for each in NAMES if getattr(by_flag, each) != getattr(Settings(), each)]
    assert changed == [name]


def test_the_flag_wins_and_an_empty_variable_is_none():
    environ = {"BGE_PORT": "1", "BGE_MODEL": "a b=c", "BGE_QUEUE": ""}
    assert parse_settings(["--port", "2"], environ).port == 2
    assert parse_settings([], environ).model == (ModelChoice("a"), ModelChoice("b", ("c",)))
    assert parse_settings(["--model", "x"], environ).model == (ModelChoice("x"),)
    assert parse_settings([], {"BGE_PORT": ""}).port == Settings().port


def test_models_repeat():
    words = ["--model", "a", "--model", "b=x,y"]
    assert parse_settings(words, {}).model == (ModelChoice("a"), ModelChoice("b", ("x", "y")))


def test_precision_and_threads_for_one_model():
    words = ["--model", "a", "--model", "b=x,y", "--precision", "int16", "--threads", "x=2"]
    found = parse_settings([*words, "--precision", "x=int8 a=float32"], {})
    assert found.precision == "int16" and found.threads is None
    a, b = found.model
    assert (a.precision, a.threads, b.precision, b.threads) == ("float32", None, "int8", 2)
    environ = {"BGE_MODEL": "a b=x,y", "BGE_PRECISION": "int16 x=int8 a=float32"}
    assert parse_settings([], {**environ, "BGE_THREADS": "x=2"}) == found
    kept = parse_settings(["--precision", "b=int8"], environ)  # the flag wins
    assert kept.precision == "float32"
    assert [one.precision for one in kept.model] == [None, "int8"]


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (["--port", "70000"], {}, "'70000': must be from 0 to 65535"),
        (["--port", "x"], {}, "'x'"),
        (["--request-timeout", "inf"], {}, "must be at least"),
        (["--request-timeout", "nan"], {}, "must be at least"),
        (["--max-batch-tokens", "0"], {}, "must be at least 1"),
        (["--model", "=x"], {}, "must be NAME, FOLDER"),
        (["--precision", "int4"], {}, "must be one of float32, int16, int8, reference"),
        (["--precision", "a=int4"], {}, "'a=int4': must be one of float32"),
        (["--precision", "a=int8"], {"BGE_MODEL": "b=c"}, "no --model is 'a'; there are: b, c"),
        ([], {"BGE_THREADS": "a=2"}, "--threads a=2: no --model is 'a'"),
        (["--threads", "a=0"], {}, "must be at least 1"),
        ([], {"BGE_OFFLINE": "perhaps"}, "BGE_OFFLINE is 'perhaps': must be 1 or 0"),
        (["--trusted-proxies", "10.0.0.1/8"], {}, "10.0.0.1/8 has host bits set; allowed are"),
        (["--trusted-proxies", "proxy.example"], {}, "'proxy.example' does not appear to be"),
        ([], {"BGE_TRUSTED_PROXIES": "*"}, "BGE_TRUSTED_PROXIES is '*': '*' does not appear"),
        (["--nonsense"], {}, "--nonsense"),
    ],
)
def test_wrong_usage_is_explained_and_ends_with_2(words, environ, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_settings(words, environ)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_tokens_are_only_an_environment_variable():
    assert parse_settings([], {"BGE_API_TOKENS": "one,two  three"}).tokens == (
        "one",
        "two",
        "three",
    )


def test_without_tokens_only_local_clients_are_served():
    with pytest.raises(InputError, match="BGE_API_TOKENS"):
        parse_settings(["--host", "0.0.0.0"], {})
    assert parse_settings(["--host", "0.0.0.0", "--allow-anonymous"], {}).host == "0.0.0.0"
    uds = parse_settings(["--host", "0.0.0.0", "--uds", "bge.sock"], {}).uds  # the host is not used
    assert uds == "bge.sock"
    assert parse_settings(["--host", "0.0.0.0"], {"BGE_API_TOKENS": "x"}).host == "0.0.0.0"


def test_loopback_addresses():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "example.org", "")))
