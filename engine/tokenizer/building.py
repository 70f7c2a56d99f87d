"""Builds the `tokenizers` library's tokenizer of a checkpoint folder, as transformers 5 does.

transformers does not simply load tokenizer.json. Which files and fields it uses depends on the
class: `tokenizer_class` of tokenizer_config.json, else of config.json, else BertTokenizer; see
`engine.tokenizer.classes`. All classes add the tokens that `added_tokens` collects. Settings that
are not reproduced here raise CheckpointError with file, field, value and remedy.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.json_files import JsonObject
from engine.errors import CheckpointError
from engine.literals import SIDES, Side
from engine.tokenizer.added_tokens import AddedTokens
from engine.tokenizer.classes import Draft, Source, as_it_is, normalizer_steps, unigram, wordpiece

BERT_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "MobileBertTokenizer")
OTHER_CLASSES = ("XLMRobertaTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")

# Fields that make transformers or sentence-transformers do something else.
REFUSED = (
    "auto_map", "processor_class", "chat_template", "fast_tokenizer_files", "init_inputs", "vocab",
    "merges", "post_processor", "tokenizer_object", "tokenizer_truncation", "tokenizer_padding",
    "gguf_file", "model_specific_special_tokens",
)  # fmt: skip
PROCESSORS = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
TEMPLATES = ("chat_template.jinja", "additional_chat_templates")

ORIGINAL = "Save the tokenizer again with save_pretrained, or restore the original files."


@dataclass(frozen=True)
class Built:
    """The tokenizer, the side that a long text loses, and the token with the largest id."""

    tokenizer: Any
    side: Side
    largest: tuple[str, int]


def build(folder: Path, *, do_lower_case: bool) -> Built:
    """The tokenizer of the transformer in `folder`; CheckpointError if it cannot be built.

    do_lower_case: the field of sentence_bert_config.json; if true, texts are lowercased first.
    """
    settings = JsonObject.read_or_empty(folder / "tokenizer_config.json")
    content = JsonObject.read(folder / "tokenizer.json")
    family = _family(folder, settings)
    with library_errors(folder):
        tokens = AddedTokens(folder, settings, content)
        draft = family(Source(folder, settings, content, tokens))
        tokenizer = draft.tokenizer
        tokenizer.encode_special_tokens = settings.boolean("split_special_tokens", False)
        tokens.add_to(tokenizer)
        if draft.template:
            tokenizer.post_processor = draft.template(tokenizer)
        if do_lower_case:
            _lowercase_first(tokenizer)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        added = tokenizer.get_added_tokens_decoder()
        ids = {**draft.vocabulary, **{token.content: i for i, token in added.items()}}
        largest = max(ids.items(), key=lambda item: item[1])
    default = draft.truncation["direction"] if draft.truncation else "right"
    return Built(tokenizer, settings.choice("truncation_side", SIDES, default), largest)


@contextmanager
def library_errors(folder: Path) -> Iterator[None]:
    """Raises what the library raises, including panics of its Rust code, as CheckpointError."""
    try:
        yield
    except (CheckpointError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # an Exception, or PanicException, which is not one
        raise CheckpointError(
            f"The tokenizer in {folder} does not work: {type(error).__name__}: {error}. {ORIGINAL}"
        ) from error


def _family(folder: Path, settings: JsonObject) -> Callable[[Source], Draft]:
    """The function that builds the tokenizer, chosen as transformers chooses its class."""
    config = JsonObject.read_or_empty(folder / "config.json")
    _refuse_other_processing(folder, settings, config)
    file = settings if settings.text("tokenizer_class", None) else config
    name = file.text("tokenizer_class", None) or "BertTokenizer"
    if name.removesuffix("Fast") in BERT_CLASSES:
        return wordpiece
    if name.removesuffix("Fast") == "XLMRobertaTokenizer":
        return unigram
    if name in OTHER_CLASSES:
        return as_it_is
    raise file.invalid("tokenizer_class", f"one of {', '.join((*BERT_CLASSES, *OTHER_CLASSES))}")


def _refuse_other_processing(folder: Path, settings: JsonObject, config: JsonObject) -> None:
    """CheckpointError if the reference would use a processor, or would rewrite the text."""
    settings.refuse(*REFUSED)
    config.refuse("processor_class")
    for name in PROCESSORS:
        JsonObject.read_or_empty(folder / name).refuse("processor_class", "auto_map")
    names = settings.content.get("model_input_names")
    if names is not None and not {"input_ids", "attention_mask"} <= set(_strings(names)):
        raise settings.invalid("model_input_names", 'a list with "input_ids" and "attention_mask"')
    for name in TEMPLATES:
        if (folder / name).exists():
            raise CheckpointError(
                f"{folder}/{name}: a chat template would rewrite each text, which the engine does "
                "not support. Remove it if the checkpoint embeds plain text."
            )


def _strings(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _lowercase_first(tokenizer: Any) -> None:
    """Prepends a Lowercase step, as sentence-transformers does, unless there is one already."""
    from tokenizers import normalizers

    steps = normalizer_steps(tokenizer.normalizer)
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
