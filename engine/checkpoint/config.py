"""A checkpoint's configuration: sizes, modules, pooling, token limit, prompts.

A folder is read as sentence-transformers 6.2 reads it. If it has `modules.json`, the modules listed
there are used, each from its own path. If not, the folder is a bare BERT with mean pooling and no
prompts, and other files of sentence-transformers are ignored. Settings that the engine does not
support raise CheckpointError.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.checkpoint.json_files import JsonObject, short
from engine.checkpoint.module_list import Module, list_modules
from engine.errors import CheckpointError
from engine.literals import SIMILARITIES, Pooling, Similarity

MODEL_TYPES = ("bert",)  # of config.json
SMALLEST_LIMIT = 3  # tokens: [CLS], one of the text, [SEP]


@dataclass(frozen=True)
class Config:
    """Sizes are named as in `engine.model`; `max_tokens` counts the special tokens too.

    `after_pooling` lists the modules that follow, in order. `prompts` are put before a text, by
    name; `default_prompt` is the name of the one that `encode` uses. `transformer` is the folder
    of the BERT itself: config.json, weights and tokenizer. Prepared weights are named after the
    repr, so fields that do not change what the BERT computes are not part of it.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    eps: float
    pooling: Pooling
    max_tokens: int
    include_prompt: bool = True
    do_lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_prompt: str | None = field(default=None, repr=False)
    truncate_dim: int | None = field(default=None, repr=False)
    similarity: Similarity = field(default="cosine", repr=False)
    transformer: Path = field(default=Path(), repr=False)
    after_pooling: tuple[Module, ...] = field(default=(), repr=False)


def read_config(folder: Path) -> Config:
    """The configuration of the checkpoint in `folder`; CheckpointError unless it is a BERT."""
    modules = list_modules(folder)
    if not modules:
        return _read_bert(folder, JsonObject(folder / "sentence_bert_config.json", {}), "mean")
    transformer, pooling, *after = modules
    pooling_config = JsonObject.read_or_empty(pooling.folder / "config.json")
    settings = JsonObject.read_or_empty(folder / "config_sentence_transformers.json")
    settings.choice("model_type", ["SentenceTransformer"], "SentenceTransformer")
    return _read_bert(
        transformer.folder,
        _transformer_settings(transformer.folder),
        _pooling(pooling_config),
        include_prompt=pooling_config.boolean("include_prompt", True),
        prompts=settings.texts("prompts"),
        default_prompt=_default_prompt(settings),
        truncate_dim=settings.integer("truncate_dim", None),
        similarity=settings.choice("similarity_fn_name", SIMILARITIES, "cosine"),
        after_pooling=tuple(after),
    )


def _read_bert(folder: Path, settings: JsonObject, pooling: Pooling, **others: object) -> Config:
    """The sizes of the BERT in `folder`, and the token limit."""
    bert = JsonObject.read(folder / "config.json")
    if bert is None:
        raise CheckpointError(
            f"{folder} has no config.json. A checkpoint is a folder with config.json, "
            "model.safetensors and tokenizer.json; give the path of that folder."
        )
    _refuse_unsupported(bert)
    hidden, heads = bert.integer("hidden_size"), bert.integer("num_attention_heads")
    if hidden % heads:
        raise bert.invalid("num_attention_heads", f"a divisor of hidden_size, {hidden}")
    positions = bert.integer("max_position_embeddings")
    return Config(
        hidden=hidden,
        layers=bert.integer("num_hidden_layers"),
        heads=heads,
        feed_forward=bert.integer("intermediate_size"),
        vocabulary=bert.integer("vocab_size"),
        positions=positions,
        token_types=bert.integer("type_vocab_size"),
        eps=bert.fraction("layer_norm_eps", 1e-12),
        pooling=pooling,
        max_tokens=_max_tokens(folder, settings, positions),
        do_lower_case=settings.boolean("do_lower_case", False),
        transformer=folder,
        **others,  # type: ignore[arg-type]
    )


def _refuse_unsupported(bert: JsonObject) -> None:
    """CheckpointError for settings with which `engine.model` would give wrong vectors."""
    bert.choice("model_type", MODEL_TYPES)
    bert.choice("hidden_act", ["gelu", "gelu_python"], "gelu")  # both are x Φ(x) with erf
    bert.choice("position_embedding_type", ["absolute"], "absolute")
    bert.choice("is_decoder", [False], False)
    bert.refuse("pruned_heads", "quantization_config")
    if (bert.path.parent / "adapter_config.json").exists():
        raise CheckpointError(
            f"{bert.path.parent} has an adapter_config.json, and adapters (PEFT) are unsupported. "
            "Merge the adapter into the weights and save the model again."
        )


# The first file that exists is read. All names but the first are from old versions.
TRANSFORMER_SETTINGS = [
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
UNSUPPORTED = {
    "processing_kwargs", "query_length", "document_length", "query_expansion",
    "tokenizer_name_or_path", "model_args", "tokenizer_args", "config_args", "model_kwargs",
    "processor_kwargs", "config_kwargs",
}  # fmt: skip
KNOWN_SETTINGS = UNSUPPORTED | {
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name",
    "unpad_inputs",
}  # fmt: skip
TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def _transformer_settings(folder: Path) -> JsonObject:
    """The settings of sentence-transformers for the BERT, in a file next to config.json."""
    found = (JsonObject.read(folder / name) for name in TRANSFORMER_SETTINGS)
    settings = next((each for each in found if each and each.content), None)
    if settings is None:
        return JsonObject(folder / TRANSFORMER_SETTINGS[0], {})
    settings.allow_only(KNOWN_SETTINGS)
    settings.choice("transformer_task", ["feature-extraction"], "feature-extraction")
    settings.choice("modality_config", [TEXT_ONLY], TEXT_ONLY)
    settings.choice("module_output_name", ["token_embeddings"], "token_embeddings")
    settings.refuse(*sorted(UNSUPPORTED))
    return settings


def _max_tokens(folder: Path, settings: JsonObject, positions: int) -> int:
    """max_seq_length, else the smaller of the tokenizer's limit and the number of positions."""
    limit = settings.integer("max_seq_length", None, least=SMALLEST_LIMIT)
    if limit is not None and limit > positions:
        raise settings.invalid("max_seq_length", f"at most max_position_embeddings, {positions}")
    if limit is None:
        limit = min(_tokenizer_limit(folder), positions)
    if limit < SMALLEST_LIMIT:
        raise CheckpointError(
            f"{folder}: the token limit is {limit}; a text needs at least {SMALLEST_LIMIT} tokens, "
            "two of them special. Correct max_seq_length, model_max_length or "
            "max_position_embeddings."
        )
    return int(limit)


def _tokenizer_limit(folder: Path) -> int:
    """model_max_length, formerly max_len; a huge number there means "no limit"."""
    tokenizer = JsonObject.read_or_empty(folder / "tokenizer_config.json")
    key = "model_max_length" if "model_max_length" in tokenizer else "max_len"
    value = tokenizer.content.get(key)
    if isinstance(value, float) and value >= 1e6:
        return int(min(value, 1e30))
    return int(tokenizer.integer(key, 10**30))


POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
KNOWN_POOLING = {
    *POOLING_FLAGS, "pooling_mode", "embedding_dimension", "word_embedding_dimension",
    "include_prompt",
}  # fmt: skip


def _pooling(config: JsonObject) -> Pooling:
    """One mode, given by name (sentence-transformers 5.2 and later) or by one flag per mode."""
    config.allow_only(KNOWN_POOLING)
    if not {"embedding_dimension", "word_embedding_dimension"} & {*config}:
        raise config.invalid("embedding_dimension", "the width of the model")
    modes = config.content.get("pooling_mode")
    if modes is None:
        flags = [mode for key, mode in POOLING_FLAGS.items() if config.boolean(key, False)]
        modes = flags or ["mean"]
    if isinstance(modes, str):
        modes = [modes]
    if modes not in (["mean"], ["cls"]):
        raise CheckpointError(
            f"{config.path}: the pooling is {short(modes)}; the engine supports mean or cls, "
            "not both."
        )
    return "cls" if modes == ["cls"] else "mean"


def _default_prompt(settings: JsonObject) -> str | None:
    name = settings.text("default_prompt_name", None)
    if name is not None and name not in {"query", "document", *settings.texts("prompts")}:
        raise settings.invalid("default_prompt_name", "the name of one of the prompts")
    return name  # type: ignore[no-any-return]
