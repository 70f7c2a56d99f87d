"""The three ways in which transformers 5 builds the library's tokenizer from a folder.

- BertTokenizer and its aliases read only the vocabulary from tokenizer.json, or from vocab.txt.
  Normalisation, word limit and template are the class's own, with fields of tokenizer_config.json.
- XLMRobertaTokenizer reads the vocabulary and the character map from tokenizer.json.
- PreTrainedTokenizerFast uses tokenizer.json as it is.

The caller, `engine.tokenizer.building`, handles what the library raises.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.json_files import JsonObject
from engine.errors import CheckpointError
from engine.tokenizer.added_tokens import AddedTokens

# transformers prefers files to vocab.txt if their names contain one of these.
OTHER_VOCABULARIES = ("tokenizer.model", "tiktoken.model", "tekken.json")


@dataclass(frozen=True)
class Source:
    """The folder's files, read but not yet interpreted."""

    folder: Path
    settings: JsonObject  # tokenizer_config.json
    content: JsonObject | None  # tokenizer.json, if there is one
    tokens: AddedTokens


@dataclass(frozen=True)
class Draft:
    """The library's tokenizer before tokens are added, and other values from the files."""

    tokenizer: Any
    vocabulary: Mapping[str, int]
    truncation: Mapping[str, Any] | None
    template: Callable[[Any], Any] | None = None  # returns a post-processor


def wordpiece(source: Source) -> Draft:
    """BertTokenizer: the vocabulary from the file, everything else from tokenizer_config.json."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    names = source.tokens.names(
        unk_token="[UNK]", sep_token="[SEP]", cls_token="[CLS]", pad_token="[PAD]",
        mask_token="[MASK]",
    )  # fmt: skip
    vocabulary, truncation = _vocabulary(source)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk_token"]))
    settings = source.settings
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.boolean("tokenize_chinese_chars", True),
        strip_accents=settings.choice("strip_accents", (True, False), None),
        lowercase=settings.boolean("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")

    def template(tokenizer: Any) -> Any:
        cls, sep = names["cls_token"], names["sep_token"]
        ids = [(name, tokenizer.token_to_id(name)) for name in (cls, sep)]
        return processors.TemplateProcessing(single=f"{cls}:0 $A:0 {sep}:0", special_tokens=ids)

    return Draft(tokenizer, vocabulary, truncation, template)


def _vocabulary(source: Source) -> tuple[dict[str, int], Mapping[str, Any] | None]:
    """Vocabulary and truncation settings of tokenizer.json; else the vocabulary of vocab.txt."""
    from tokenizers import models

    if source.content is not None:
        model, rest = _parts(source.content, "WordPiece")
        return model.get("vocab"), rest.truncation  # type: ignore[return-value]
    path = source.folder / "vocab.txt"
    for other in source.folder.glob("*"):
        if any(name in other.name for name in OTHER_VOCABULARIES):
            raise CheckpointError(
                f"{other}: transformers would use this vocabulary, not {path.name}; this engine "
                "cannot read it. Remove the file if vocab.txt is the right vocabulary."
            )
    if not path.is_file():
        raise CheckpointError(
            f"{source.folder} has neither tokenizer.json nor vocab.txt. Copy the tokenizer's files "
            "from where the weights come from."
        )
    return models.WordPiece.read_file(str(path)), None


def _parts(file: JsonObject, kind: str) -> tuple[dict[str, Any], Any]:
    """The "model" object of tokenizer.json, and the library's tokenizer of the other fields."""
    from tokenizers import Tokenizer, models

    model = file.content.get("model")
    if not isinstance(model, dict):
        raise file.invalid("model", "an object")
    if not isinstance(model.get("vocab"), dict | list):
        raise file.invalid("model", 'an object with a "vocab"')
    # A WordPiece is read faster without its vocabulary. The oldest files do not name the type.
    light = {**model, "vocab": {}} if model.get("type") == "WordPiece" else model
    rest = Tokenizer.from_str(json.dumps({**file.content, "model": light, "added_tokens": []}))
    if not isinstance(rest.model, getattr(models, kind)):
        raise file.invalid("model", f"a {kind} model for this tokenizer_class")
    return model, rest


def unigram(source: Source) -> Draft:
    """XLMRobertaTokenizer: vocabulary and character map from the file, the rest is fixed."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    names = source.tokens.names(
        bos_token="<s>", eos_token="</s>", unk_token="<unk>", sep_token="</s>", cls_token="<s>",
        pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip
    if source.content is None:
        raise _no_tokenizer_json(source.folder, "XLMRobertaTokenizer")
    model, rest = _parts(source.content, "Unigram")
    vocabulary = [tuple(entry) for entry in model["vocab"]]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    for normalizer in normalizer_steps(rest.normalizer):
        if isinstance(normalizer, normalizers.Precompiled) and tokenizer.normalizer is None:
            tokenizer.normalizer = normalizer
    scheme = "always" if source.settings.boolean("add_prefix_space", True) else "never"
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)

    def template(tokenizer: Any) -> Any:
        ends = names["bos_token"], names["eos_token"]
        ids = [(name, tokenizer.token_to_id(name)) for name in ends]
        return processors.TemplateProcessing(single=[ends[0], "$A", ends[1]], special_tokens=ids)

    ids = {entry[0]: i for i, entry in enumerate(vocabulary)}
    return Draft(tokenizer, ids, rest.truncation, template)


def as_it_is(source: Source) -> Draft:
    """PreTrainedTokenizerFast: tokenizer.json and nothing else."""
    from tokenizers import Tokenizer, models

    if source.content is None:
        raise _no_tokenizer_json(source.folder, "PreTrainedTokenizerFast")
    tokenizer = Tokenizer.from_file(str(source.content.path))
    if isinstance(tokenizer.model, models.BPE) and tokenizer.model.dropout:
        raise source.content.invalid("model", "one without dropout, which is not deterministic")
    if tokenizer.padding:
        source.tokens.names(pad_token=tokenizer.padding["pad_token"])
    return Draft(tokenizer, tokenizer.get_vocab(), tokenizer.truncation)


def _no_tokenizer_json(folder: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{folder}/tokenizer.json is missing; {name} needs it. Copy it from where the weights "
        "come from."
    )


def normalizer_steps(normalizer: Any) -> list[Any]:
    """The steps of a normaliser."""
    from tokenizers import normalizers

    if isinstance(normalizer, normalizers.Sequence):
        return [normalizer[i] for i in range(len(normalizer))]
    return [] if normalizer is None else [normalizer]
