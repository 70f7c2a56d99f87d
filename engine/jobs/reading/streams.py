"""Open an input as a stream of UTF-8: decompressed, and converted from other encodings."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from engine.jobs.pipeline import POLL_SECONDS, check
from engine.jobs.reading.inputs import STDIN, Source, is_compressed

BUFFER_BYTES = 1 << 20
MAGIC_BYTES = 10
# UTF-32 first: its mark begins with that of UTF-16
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


@contextmanager
def open_stream(source: Source) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """Open a file (or standard input); also a function for the position in bytes.

    OSError, EOFError, lzma.LZMAError or UnicodeError, here or while it is read: it is damaged.
    """
    stdin = source.name == STDIN
    file: Any = _Stdin() if stdin else io.FileIO(source.name)
    with io.BufferedReader(file, BUFFER_BYTES) as raw:
        stream = _unpacked(raw)
        if stream is raw and not stdin and is_compressed(source.name):
            raise OSError("its name says that it is compressed, but its content is not")
        encoding = source.dialect.encoding or _marked(stream.peek(4))
        if encoding:
            stream = io.BufferedReader(_Recoded(stream, encoding), BUFFER_BYTES)
        yield stream, (lambda: 0) if stdin else raw.tell


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    """Decompress what begins like compressed data, whatever its name."""
    magic = raw.peek(MAGIC_BYTES)[:MAGIC_BYTES]
    unpacked: Any
    if magic[:2] == b"\x1f\x8b":
        unpacked = gzip.GzipFile(fileobj=raw)
    elif magic[:3] == b"BZh" and magic[4:] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        unpacked = _Unpacked(raw, bz2.BZ2Decompressor)
    elif magic[:6] == b"\xfd7zXZ\0":
        unpacked = _Unpacked(raw, lzma.LZMADecompressor)
    elif _is_zstd(magic):
        import pyarrow as pa

        unpacked = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    else:
        return raw
    return io.BufferedReader(unpacked, BUFFER_BYTES)


def _is_zstd(magic: bytes) -> bool:
    """A frame of data, or a frame to be skipped: RFC 8878, sections 3.1.1 and 3.1.2."""
    number = int.from_bytes(magic[:4], "little")
    return number == 0xFD2FB528 or number & ~0xF == 0x184D2A50


def _marked(head: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), None)


class _Unpacked(io.RawIOBase):
    """Decompress streams that follow each other, with zeros between them or not.

    Python's own readers of bz2 and xz skip in silence whatever else follows a stream.
    """

    def __init__(self, raw: BinaryIO, new: Callable[[], Any]) -> None:
        self._raw, self._new = raw, new
        self._stream, self._packed = new(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            if self._stream.eof and not self._next_stream():
                return 0
            if self._stream.needs_input and not self._packed and not self._fill():
                raise EOFError("the compressed data ends too early")
            data = self._stream.decompress(self._packed, len(buffer))
            self._packed = b""
        buffer[: len(data)] = data
        return len(data)

    def _next_stream(self) -> bool:
        self._packed = self._stream.unused_data.lstrip(b"\0")
        while not self._packed:
            if not self._fill():
                return False
            self._packed = self._packed.lstrip(b"\0")
        self._stream = self._new()
        return True

    def _fill(self) -> bool:
        self._packed = self._raw.read1(BUFFER_BYTES)  # type: ignore[attr-defined]
        return bool(self._packed)


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream, self._rest = stream, b""
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            raw = self._stream.read1(BUFFER_BYTES)
            self._rest = self._decoder.decode(raw, final=not raw).encode()
            if not raw:
                break
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _Stdin(io.RawIOBase):
    """Standard input that lets a pipeline shut down while it waits for data."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not select.select([0], [], [], POLL_SECONDS)[0]:
            check()
        return os.readv(0, [buffer])
