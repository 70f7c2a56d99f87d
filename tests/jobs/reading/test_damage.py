"""Ways in which a file may be damaged: each is an error, a rejected row, or does no harm."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import EngineError
from tests.jobs.reading.reads import put, read

COUNT = 60
TEXTS = [f"Grüße {n}, 世界" for n in range(COUNT)]
IDS = [f"id{n}" for n in range(COUNT)]
OBJECTS = [{"id": i, "text": text, "tag": "x"} for i, text in zip(IDS, TEXTS, strict=True)]

LINES = [json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in OBJECTS]
RECORDS = [f'{each["id"]},"{each["text"]}",x\n'.encode() for each in OBJECTS]
HEADER = b"id,text,tag\n"
JSONL, CSV = b"".join(LINES), HEADER + b"".join(RECORDS)
TSV = CSV.replace(b'"', b"").replace(b",", b"\t").replace(b"\t \xe4", b", \xe4")
ARRAY = json.dumps(OBJECTS, ensure_ascii=False).encode()
ZSTD = bytes(pa.Codec("zstd").compress(JSONL, asbytes=True))


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(OBJECTS), sink, row_group_size=20, write_page_checksum=True)
    return sink.getvalue()


def changed(rows: list[bytes], row: int, change: Callable[[bytes], bytes]) -> bytes:
    return b"".join(change(line) if n == row else line for n, line in enumerate(rows))


def csv(row: int, change: Callable[[bytes], bytes]) -> bytes:
    return HEADER + changed(RECORDS, row, change)


def jsonl(row: int, change: Callable[[bytes], bytes]) -> bytes:
    return changed(LINES, row, change)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


HARMLESS = {
    "csv: mixed line ends": ("a.csv", csv(7, lambda row: row.replace(b"\n", b"\r\n"))),
    "csv: blank lines": ("a.csv", csv(7, lambda row: b"\n\r\n" + row + b"\n")),
    "csv: no end of the last line": ("a.csv", CSV[:-1]),
    "csv: a byte order mark": ("a.csv", b"\xef\xbb\xbf" + CSV),
    "jsonl: a byte order mark, mixed line ends": (
        "a.jsonl",
        b"\xef\xbb\xbf" + jsonl(7, lambda row: b"\n" + row.replace(b"\n", b"\r\n")),
    ),
    "gzip: members, and zeros at the end": (
        "a.csv.gz",
        gzip.compress(half(CSV)) + gzip.compress(CSV[len(CSV) // 2 :]) + bytes(100),
    ),
    "UTF-16": ("a.csv", CSV.decode().encode("utf-16")),
    "tsv: as it is": ("a.tsv", TSV),
}
REJECTED = {  # in all of them row 7 is damaged
    "jsonl: cut within a record": ("a.jsonl", jsonl(7, lambda row: half(row) + b"\n")),
    "jsonl: two records on a line": ("a.jsonl", jsonl(7, lambda row: row[:-1] + b" {}\n")),
    "jsonl: cut within a character": ("a.jsonl", jsonl(7, lambda row: row[:-16] + b'"}\n')),
    "jsonl: NUL bytes": ("a.jsonl", jsonl(7, lambda row: bytes(len(row) - 1) + b"\n")),
    "jsonl: Latin-1": ("a.jsonl", jsonl(7, lambda row: row.replace("ü".encode(), b"\xfc"))),
    "jsonl: a key twice": ("a.jsonl", jsonl(7, lambda row: row.replace(b"tag", b"text"))),
    "csv: an unclosed quote": ("a.csv", csv(7, lambda row: row.replace(b'",', b","))),
    "csv: a quote within quotes": ("a.csv", csv(7, lambda row: row.replace(b", ", b'", "'))),
    "csv: cut within a record": ("a.csv", csv(7, lambda row: half(row) + b"\n")),
    "csv: a field too few": ("a.csv", csv(7, lambda row: row.replace(b",x", b""))),
    "csv: a field too many": ("a.csv", csv(7, lambda row: row.replace(b",x", b",x,y"))),
    "csv: cut within a character": ("a.csv", csv(7, lambda row: row[:-6] + b'",x\n')),
    "csv: NUL bytes": ("a.csv", csv(7, lambda row: row.replace(b" 7", b"\0\0"))),
    "csv: the header again": ("a.csv", csv(7, lambda row: HEADER)),
    "csv: a carriage return within": ("a.csv", csv(7, lambda row: row.replace(b',"', b',\r"'))),
}
REFUSED = {
    "jsonl: cut within a gzip member": ("a.jsonl.gz", gzip.compress(JSONL)[:-9]),
    "jsonl: a flipped byte in gzip": ("a.jsonl.gz", flipped(gzip.compress(JSONL))),
    "jsonl: junk after a gzip member": ("a.jsonl.gz", gzip.compress(JSONL) + b"junk"),
    "jsonl: cut zstd": ("a.jsonl.zst", half(ZSTD)),
    "jsonl: cut bz2": ("a.jsonl.bz2", half(bz2.compress(JSONL))),
    "jsonl: a damaged second bz2 stream": (
        "a.jsonl.bz2",
        bz2.compress(JSONL) + flipped(bz2.compress(JSONL)[:4]),
    ),
    "jsonl: cut xz": ("a.jsonl.xz", half(lzma.compress(JSONL))),
    "jsonl: an empty gzip file": ("a.jsonl.gz", b""),
    "json: a cut array": ("a.json", half(ARRAY)),
    "json: two arrays": ("a.json", ARRAY + ARRAY),
    "csv: an empty file": ("a.csv", b""),
    "csv: a column's name twice": ("a.csv", CSV.replace(b"id,text,tag", b"id,text,text")),
    "csv: no header": ("a.csv", b"".join(RECORDS)),
    "csv: an unclosed quote in the header": ("a.csv", CSV.replace(b"text", b'"text', 1)),
    "csv: UTF-16 that is cut": ("a.csv", CSV.decode().encode("utf-16")[:-1]),
    "csv: UTF-16 without a mark": ("a.csv", CSV.decode().encode("utf-16-le")),
    "parquet: cut": ("a.parquet", half(parquet())),
    "parquet: without its footer": ("a.parquet", parquet()[:-8]),
    "parquet: a flipped byte": ("a.parquet", parquet()[:60] + flipped(parquet()[60:200])
                                + parquet()[200:]),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(tmp_path: Path, name: str) -> None:
    file, content = HARMLESS[name]
    texts, reasons, columns = read(put(tmp_path / file, content), id="id")
    assert (texts, reasons, [each["id"] for each in columns]) == (TEXTS, {}, IDS)


@pytest.mark.parametrize("name", REJECTED)
def test_a_damaged_row_is_rejected_and_no_other(tmp_path: Path, name: str) -> None:
    file, content = REJECTED[name]
    texts, reasons, columns = read(put(tmp_path / file, content), id="id")
    assert texts == TEXTS[:7] + TEXTS[8:]
    assert [each["id"] for each in columns] == IDS[:7] + IDS[8:]
    assert reasons and min(reasons) == 7 and max(reasons) <= 8  # it may be in two pieces


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_to_its_end_is_refused(tmp_path: Path, name: str) -> None:
    file, content = REFUSED[name]
    with pytest.raises(EngineError, match=f"input '.*{file}'"):
        read(put(tmp_path / file, content), id="id")
