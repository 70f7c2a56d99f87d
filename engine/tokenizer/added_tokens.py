"""The tokens that a checkpoint adds to its vocabulary, collected as transformers 5 collects them.

Since transformers 4.34 they are in tokenizer_config.json ("added_tokens_decoder"); before, they
were in special_tokens_map.json, added_tokens.json and tokenizer.json. Their order and flags decide
the ids, so the steps follow `PreTrainedTokenizerBase._from_pretrained` and
`TokenizersBackend.__init__` in the same order.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.checkpoint.json_files import JsonObject, short
from engine.errors import CheckpointError

# The named special tokens. Those missing from the vocabulary are added in this order.
NAMES = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
EXTRA, OLD_EXTRA = "extra_special_tokens", "additional_special_tokens"

Token = Any  # a string, or the library's AddedToken with its flags


class AddedTokens:
    """All tokens to add: by id, by name, and other special ones."""

    def __init__(self, folder: Path, settings: JsonObject, content: JsonObject | None) -> None:
        """`settings` is tokenizer_config.json, `content` is tokenizer.json."""
        self._settings = settings
        fields = dict(settings.content)
        if OLD_EXTRA in fields and not fields.get(EXTRA):
            fields[EXTRA] = fields.pop(OLD_EXTRA)
        if "added_tokens_decoder" in fields:
            numbered = fields["added_tokens_decoder"].items()
            self._by_id = {int(i): _with_flags(token) for i, token in numbered}
        else:
            _merge_special_tokens_map(folder, fields)
            self._by_id = _from_old_files(folder, fields, content)
        self._refuse_unknown_names(fields)
        flags = {token.content: token for token in self._by_id.values()}
        self._named: dict[str, Token | None] = {}
        for name in NAMES:
            if name in fields:
                token = self._token(fields[name], name)
                self._named[name] = token and flags.get(_content(token), token)
        extra = fields.get(EXTRA, fields.get(OLD_EXTRA)) or []
        if not isinstance(extra, list):
            raise settings.invalid(EXTRA, "a list of tokens")
        self._extra = [self._token(token, EXTRA) for token in extra]

    def names(self, **defaults: str) -> dict[str, str]:
        """The token for each of these names; `defaults` are used where the files have none.

        A name that the files set to null is an error: transformers would use the word "None".
        """
        for name, default in defaults.items():
            self._named.setdefault(name, default)
        missing = [name for name in defaults if not self._named[name]]
        if missing and missing[0] not in ("pad_token", "mask_token"):
            raise self._settings.invalid(missing[0], "a string")
        return {name: _content(token) for name in defaults if (token := self._named[name])}

    def add_to(self, tokenizer: Any) -> None:
        """Adds all tokens to the library's tokenizer."""
        from tokenizers import AddedToken

        tokens = [token for _, token in sorted(self._by_id.items())]
        known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        known |= {token.content for token in tokens}
        named = [self._named.get(name) for name in NAMES]
        for token in (*named, *self._extra):
            if token and _content(token) not in known and token not in tokens:
                tokens.append(token)
        names = {_content(token) for token in named if token}
        for i, token in enumerate(tokens):
            if isinstance(token, str):
                tokens[i] = AddedToken(token, special=True)
            elif token.content in names:
                token.special = True
        if tokens:
            tokenizer.add_tokens(tokens)

    def _token(self, value: Any, name: str) -> Token | None:
        from tokenizers import AddedToken

        if value is None or isinstance(value, str | AddedToken):
            return value
        if isinstance(value, dict) and value.get("__type") == "AddedToken":
            return AddedToken(**{key: value[key] for key in value if key != "__type"})
        raise CheckpointError(
            f"{self._settings.path}: {name} holds {short(value)}; a token is a string, or an "
            'object with "__type": "AddedToken". Save the tokenizer again with save_pretrained.'
        )

    def _refuse_unknown_names(self, fields: Mapping[str, Any]) -> None:
        """CheckpointError for token names of other architectures, which transformers would add."""
        for key, value in fields.items():
            unknown = key.endswith("_token") and key not in NAMES and not isinstance(value, bool)
            if (unknown and value is not None) or (
                key == EXTRA and value and isinstance(value, dict)
            ):
                raise CheckpointError(
                    f"{self._settings.path}: {key} is {short(value)}; the known names are "
                    f"{', '.join(NAMES)}. Remove the field, or use another checkpoint."
                )


def _content(token: Token) -> str:
    return token if isinstance(token, str) else str(token.content)


def _with_flags(value: dict[str, Any]) -> Token:
    from tokenizers import AddedToken

    return AddedToken(**value)


def _merge_special_tokens_map(folder: Path, fields: dict[str, Any]) -> None:
    """Merges special_tokens_map.json, which overrides tokenizer_config.json, into `fields`."""
    file = JsonObject.read(folder / "special_tokens_map.json")
    if file is None:
        return
    file.allow_only((*NAMES, EXTRA, OLD_EXTRA))
    for key, value in file.content.items():
        if isinstance(value, dict) and key != EXTRA:
            value = _with_flags({**value, "special": True})
        elif isinstance(value, list) and key == EXTRA:
            found = list(fields.get(EXTRA) or [])
            for token in value:
                if isinstance(token, dict):
                    token = _with_flags({**token, "special": True})
                if token not in found:
                    found.append(token)
            value = found
        fields[key] = value


def _from_old_files(
    folder: Path, fields: Mapping[str, Any], content: JsonObject | None
) -> dict[int, Token]:
    """The tokens of added_tokens.json, then those of tokenizer.json, by id."""
    from tokenizers import AddedToken

    tokens: dict[int, Token] = {}
    special = {str(fields[name]) for name in NAMES if fields.get(name)}
    special |= {str(token) for token in fields.get(EXTRA) or []}
    file = JsonObject.read(folder / "added_tokens.json")
    for text, index in file.content.items() if file else ():
        known = text in special
        tokens[index] = AddedToken(
            text, rstrip=False, lstrip=False, normalized=not known, special=known
        )
    for token in content.content["added_tokens"] if content else ():
        tokens[token["id"]] = _with_flags({key: token[key] for key in token if key != "id"})
    return tokens
