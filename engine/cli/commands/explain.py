"""`bge explain`: a text on its way through the model, or the tokens that make two texts similar."""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser as Parser
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.cli import inputs, outputs
from engine.cli.commands.heat_map import heat_map
from engine.cli.options import model_option, positive, run_options
from engine.literals import POOLINGS

if TYPE_CHECKING:
    from engine import Embedder
    from engine.explain import Comparison, Explanation, PrecisionError, Word

PAIRS = 10
WORDS = 3  # nearest to the state of a token
WIDTH, TOKEN, NEAREST = 80, 14, 22  # characters


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    option = command.add_argument
    option("texts", nargs="+", metavar="TEXT", help="one; or two, to compare them token by token")
    option("--layer", type=positive, metavar="N", help="the layer to show (default: the last)")
    option("--head", type=positive, metavar="N", help="its head (default: the first)")
    option(
        "--query",
        action="store_true",
        help="the model's query prompt before the first text, its document prompt before the other",
    )
    option(
        "--precisions",
        action="store_true",
        help="also the errors of float32, int16 and int8; the first use prepares each of them",
    )
    option("--json", action="store_true", help="all the numbers, as one JSON object")
    model_option(command)
    run_options(command)
    command.set_defaults(precision="reference")


def explain(options: Namespace) -> int:
    """Writes what the model does with one text, or why two are similar. Returns the exit status."""
    if len(options.texts) > 2:
        options.usage_error(f"give one text, or two to compare; {len(options.texts)} were given")
    if len(options.texts) == 2 and (options.layer or options.head or options.precisions):
        options.usage_error("--layer, --head and --precisions can be used only with one text")
    with inputs.load_model(options) as embedder:
        kinds = ("query", "document") if options.query else (None, None)
        prompts = [embedder.prompt_for(kind) for kind in kinds]
        show = _one if len(options.texts) == 1 else _two
        outputs.write_out(show(embedder, options, prompts))
    return 0


def _one(embedder: Embedder, options: Namespace, prompts: Sequence[str]) -> Iterator[str]:
    from engine.explain import explain, precision_errors

    config, (text,) = embedder.config, options.texts
    layer, head = options.layer or config.layers, options.head or 1
    for name, value, most in ("layer", layer, config.layers), ("head", head, config.heads):
        if value > most:
            options.usage_error(f"--{name} is {value}; {embedder.name} has {most}")
    found = explain(embedder, text, prompt=prompts[0])
    errors = precision_errors(embedder, text, prompt=prompts[0]) if options.precisions else []
    if options.json:
        yield _one_json(embedder, found, layer, errors)
        return
    yield f"{embedder.name}: {len(found.tokens)} tokens through {config.layers} layers\n\n"
    yield from _tokens(embedder, found, layer)
    yield "\n" + _shapes(embedder, len(found.tokens))
    yield f"\nAttention in layer {layer}, head {head}: from which token, a column, a row gathers\n"
    yield from heat_map(found.tokens, found.attention_NHLL[layer - 1, head - 1])
    if errors:
        cells = [[name, f"{1 - cosine:.1e}", f"{largest:.1e}"] for name, cosine, largest in errors]
        yield "\n" + outputs.table(["precision", "1 - cosine", "max|difference|"], cells, (1, 2))


def _tokens(embedder: Embedder, found: Explanation, layer: int) -> Iterator[str]:
    """A row for each token: what it is, its state after the layer, and what poolings take of it."""
    from engine.explain import nearest_words

    columns = zip(
        map(str, range(len(found.tokens))),
        (outputs.one_line(token, TOKEN) for token in found.tokens),
        map(str, found.ids_L.tolist()),
        map(_span, found.spans_L2.tolist()),
        (f"{norm:.2f}" for norm in found.norms_EL()[layer].tolist()),
        (f"{share:.1%}" for share in found.shares_EL()[layer].tolist()),
        (f"{share:.1%}" for share in found.attention_NHLL[layer - 1, :, 0].mean(axis=0).tolist()),
        (_words(each) for each in nearest_words(embedder, found, layer, WORDS)),
        strict=True,
    )
    header = ["#", "token", "id", "span", "norm", "mean", "cls", "nearest words"]
    yield outputs.table(header, columns, right=(0, 2, 3, 4, 5, 6))
    yield (
        f"\nnorm, nearest words: of the token's state after layer {layer}. mean: its share in the\n"
        f"mean of the states. cls: its share in what [CLS] gathers in layer {layer}, as the\n"
        f"average of the heads. {embedder.name} pools by {found.pooling}.\n"
    )


def _span(span: Sequence[int]) -> str:
    return "-" if span[0] < 0 else f"{span[0]}:{span[1]}"


def _words(words: Sequence[Word]) -> str:
    return outputs.one_line(" ".join(word.text for word in words), NEAREST)


def _shapes(embedder: Embedder, tokens: int) -> str:
    """The steps of the model: those of a layer once, and the sums over all layers at the end."""
    from engine.explain import steps

    found, layers = steps(embedder.config, tokens), embedder.config.layers
    rows = [
        [
            f"  {step.name}" if step.repeats > 1 else step.name,
            f"({', '.join(map(str, step.shape))})",
            f"{step.parameters:,}",
            f"{step.operations:,}",
        ]
        for step in found
    ]
    first = next(i for i, step in enumerate(found) if step.repeats > 1)
    rows.insert(first, [f"each of {layers} layers:", "", "", ""])
    parameters = sum(step.parameters * step.repeats for step in found)
    operations = sum(step.operations * step.repeats for step in found)
    rows.append(["sum", "", f"{parameters:,}", f"{operations:,}"])
    table = outputs.table(["step", "shape", "parameters", "operations"], rows, right=(2, 3))
    return table + "operations: the multiplications and additions of matrix products\n"


def _two(embedder: Embedder, options: Namespace, prompts: Sequence[str]) -> Iterator[str]:
    from engine.explain import compare

    found = compare(embedder, *options.texts, prompts=(prompts[0], prompts[1]), pooling="mean")
    if options.json:
        yield _two_json(found)
        return
    yield f"{embedder.name}: the cosine of the mean-pooled texts is {found.cosine:.4f}\n"
    if embedder.pooling != "mean":
        yield (
            f"This checkpoint pools by {embedder.pooling}, which takes one token; its own cosine\n"
            "has no parts, and `bge similarity` shows it.\n"
        )
    pairs = [
        [f"{value:.4f}", _label(found.a, i), _label(found.b, j)]
        for i, j, value in found.top_pairs(PAIRS)
    ]
    yield "\nThe pairs of tokens that give most to the cosine\n"
    yield outputs.table(["gives", "first text", "second text"], pairs, right=(0,))
    yield "\nAll pairs: rows are tokens of the first text, columns those of the second\n"
    yield from heat_map(found.a.tokens, found.contributions_AB)
    columns = " ".join(_label(found.b, j) for j in range(len(found.b.tokens)))
    yield textwrap.fill(f"Columns: {columns}", WIDTH) + "\n"


def _label(of: Explanation, i: int) -> str:
    return f"{i} {outputs.one_line(of.tokens[i], TOKEN)}"


def _one_json(
    embedder: Embedder, found: Explanation, layer: int, errors: Sequence[PrecisionError]
) -> str:
    from engine.explain import nearest_words, steps

    words = nearest_words(embedder, found, layer, WORDS)
    return _json(
        {
            **_described(found),
            "layer": layer,
            "nearest_words": [[word._asdict() for word in each] for each in words],
            "norms": found.norms_EL().tolist(),
            "shares": found.shares_EL().tolist(),
            "pooled": {name: found.pooled_ED(name).tolist() for name in POOLINGS},
            "steps": [vars(step) for step in steps(embedder.config, len(found.tokens))],
            "precisions": [error._asdict() for error in errors],
            "hidden": found.hidden_ELD.tolist(),
            "attention": found.attention_NHLL.tolist(),
        }
    )


def _two_json(found: Comparison) -> str:
    return _json(
        {
            "cosine": found.cosine,
            "a": _described(found.a),
            "b": _described(found.b),
            "contributions": found.contributions_AB.tolist(),
        }
    )


def _described(found: Explanation) -> dict[str, Any]:
    return {
        "model": found.model,
        "text": found.text,
        "pooling": found.pooling,
        "prompt_tokens": found.prompt,
        "tokens": [
            {"token": token, "id": id, "span": None if span[0] < 0 else span}
            for token, id, span in zip(
                found.tokens, found.ids_L.tolist(), found.spans_L2.tolist(), strict=True
            )
        ],
    }


def _json(record: dict[str, Any]) -> str:
    """One member on each line."""
    members = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    return "{" + ",\n ".join(members) + "}\n"
