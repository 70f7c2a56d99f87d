"""A file of API tokens, for `bge serve --tokens-file`."""

import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class TokensFile:
    """The tokens that the file held when it was read."""

    path: Path
    tokens: tuple[str, ...] = field(repr=False)
    exposed: bool  # every user of this machine can read the file


def read_tokens_file(path: str | Path) -> TokensFile:
    """One token a line; empty lines, and lines that begin with #, are skipped. ValueError, without
    any token, if the file cannot be read or holds none."""
    path = Path(path)
    try:
        if not path.is_file():  # reading a pipe could wait for ever
            raise ValueError("there is no such file")
        mode = path.stat().st_mode
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    tokens = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if len(line.split()) > 1 and not line.startswith("#"):
            raise ValueError(f"line {number} has a space in it; write one token a line")
        if line and not line.startswith("#"):
            tokens.append(line)
    if not tokens:
        raise ValueError("holds no token; write one a line")
    return TokensFile(path, tuple(tokens), bool(mode & stat.S_IROTH))
