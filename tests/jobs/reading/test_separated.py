"""CSV and TSV: quotes that do not match, headers, delimiters, and bounds."""

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs.reading import lines
from tests.jobs.reading.reads import put, read


def rows(count: int, broken: dict[int, str]) -> str:
    """A CSV of rows `n,"text n",x`, with other lines in place of some."""
    made = [broken.get(n, f'{n},"text {n}",x') for n in range(count)]
    return "\n".join(["id,text,tag", *made]) + "\n"


@pytest.mark.parametrize("broken", ['7,"text 7,x', '7,"a"b",x', '7,"', '7,"a,"b"'])
@pytest.mark.parametrize("quoted", [True, False])
def test_only_the_row_with_a_wrong_quote_is_lost(tmp_path: Path, broken: str, quoted: bool) -> None:
    content = rows(50, {7: broken})
    if not quoted:
        content = "\n".join(
            line if line == broken else line.replace('"', "") for line in content.splitlines()
        )
    texts, reasons, _ = read(put(tmp_path / "a.csv", content))
    assert texts == [f"text {n}" for n in range(50) if n != 7]
    assert list(reasons) == [7]
    assert reasons[7].startswith("line 9: ")


def test_a_quote_within_a_field_is_a_character(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.csv", rows(2, {1: '1,5" disks,x"'})))[0] == ["text 0", '5" disks']


def test_two_wrong_quotes_lose_two_rows(tmp_path: Path) -> None:
    content = rows(50, {7: '7,"text 7,x', 20: '20,"text 20,x', 21: '21,"text 21,x'})
    texts, reasons, _ = read(put(tmp_path / "a.csv", content))
    assert texts == [f"text {n}" for n in range(50) if n not in (7, 20, 21)]
    assert list(reasons) == [7, 20, 21]


def test_a_last_quote_that_is_open_is_told(tmp_path: Path) -> None:
    texts, reasons, _ = read(put(tmp_path / "a.csv", rows(3, {2: '2,"text 2'})))
    assert texts == ["text 0", "text 1"]
    assert reasons == {2: "line 4: malformed CSV: unexpected end of data (see --quoting)"}


def test_lines_of_a_broken_cell_do_not_become_rows(tmp_path: Path) -> None:
    content = rows(3, {1: '1,"a\nb, c, d\ne" f\ng",x'})
    texts, reasons, _ = read(put(tmp_path / "a.csv", content), keep="id")
    # "b, c, d" has as many fields as a row, but the line after it has not
    assert texts == ["text 0", "text 2"]
    assert all("line" in reason for reason in reasons.values()) and reasons
    content = 'text\na\n"b\nc\nd"e\nf\n'  # one column: each line would be a row
    texts, reasons, _ = read(put(tmp_path / "b.csv", content))
    assert texts[0] == "a" and texts[-1] == "f" and "c" not in texts
    assert reasons[1].startswith("lines 3 to 4: malformed CSV")


def test_a_row_is_bounded_also_where_lines_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 1000)
    content = rows(300, {7: '7,"text 7,x'}).replace('"', "").replace("text 7,", '"text 7,')
    texts, reasons, _ = read(put(tmp_path / "a.csv", content))
    assert texts == [f"text {n}" for n in range(300) if n != 7]
    assert list(reasons) == [7]
    texts, reasons, _ = read(put(tmp_path / "b.csv", rows(9, {7: "7," + "x" * 5000})))
    assert len(texts) == 8 and "the row is longer" in reasons[7]


def test_without_quoting_a_quote_is_a_character(tmp_path: Path) -> None:
    content = 'text\tn\n"one\t1\ntwo" "\t2\n""\t3\n'
    texts, reasons, _ = read(put(tmp_path / "a.tsv", content), quoting="none")
    assert texts == ['"one', 'two" "', '""'] and not reasons


def test_another_delimiter(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id;text\n1;a,b\n")
    assert read(path, delimiter=";")[0] == ["a,b"]
    with pytest.raises(InputError, match=r"no column 'text'; it has \['id;text'\]"):
        read(path)
    with pytest.raises(InputError, match="--delimiter and --quoting are for csv and tsv"):
        read(put(tmp_path / "a.jsonl", "{}"), delimiter=";")


def test_the_header_again_is_no_row(tmp_path: Path) -> None:
    texts, reasons, _ = read(put(tmp_path / "a.csv", "id,text\n1,a\nid,text\n2,b\n"))
    assert texts == ["a", "b"] and reasons == {1: "line 3: the header again"}


def test_a_header_that_is_malformed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the header is not valid: lines 1 to 2: malformed CSV"):
        read(put(tmp_path / "a.csv", 'id,"text\n1,a\n2,b\n'))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    content = end.join(["\ufeffid,text", '1,"a', 'b"', "", "2,c"])
    assert read(put(tmp_path / "a.csv", content))[0] == [f"a{end}b", "c"]
    mixed = "id,text\n1,a\r\n2,b\r3,c\n"
    assert read(put(tmp_path / "b.csv", mixed))[0] == ["a", "b", "c"]
