"""CSV files as people save them."""

from pathlib import Path

import pytest

from cascade.cli.campaign.people import open_people
from cascade.core.errors import ConfigError

ROWS = [["Олена", "+380501112233"], ["Ivan; Jr", "+380502223344"]]
WRITTEN = {  # bytes, encoding
    "commas": ('Name,Phone\nОлена,+380501112233\n"Ivan; Jr",+380502223344\n'.encode(), "utf-8-sig"),
    "with the mark of UTF-8": ('\ufeffName,Phone\nОлена,+380501112233\n"Ivan; Jr",+380502223344'.encode(), "utf-8-sig"),
    "with the mark, and named without": (
        '\ufeffName;Phone\nОлена;+380501112233\n"Ivan; Jr";+380502223344'.encode(),
        "UTF8",
    ),
    "Excel's semicolons and line ends": (
        'Name;Phone\r\nОлена;+380501112233\r\n"Ivan; Jr";+380502223344\r\n'.encode("cp1251"),
        "cp1251",
    ),
    "tabs": ("Name\tPhone\nОлена\t+380501112233\nIvan; Jr\t+380502223344\n".encode(), "utf-8-sig"),
    "UTF-16": ("Name\tPhone\nОлена\t+380501112233\nIvan; Jr\t+380502223344\n".encode("utf-16"), "utf-16"),
    "empty lines": ('Name,Phone\n\nОлена,+380501112233\n,\n"Ivan; Jr",+380502223344\n\n'.encode(), "utf-8-sig"),
}


def written(home: Path, content: bytes) -> Path:
    path = home / "people.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", WRITTEN)
def test_read(case: str, tmp_path: Path) -> None:
    content, encoding = WRITTEN[case]
    people = open_people(written(tmp_path, content), encoding, None)
    assert people.columns == ["Name", "Phone"]
    assert [row.values for row in people.rows()] == ROWS
    assert [row.number for row in people.rows()] == [1, 2]
    assert people.read_bytes == people.size_bytes == len(content)


def test_a_row_of_several_lines_is_one_row(tmp_path: Path) -> None:
    people = open_people(written(tmp_path, b'Name,Phone\n"a\nb",1\nc,2\n'), "utf-8-sig", None)
    assert [(row.number, row.line, row.values[0]) for row in people.rows()] == [(1, 3, "a\nb"), (2, 4, "c")]


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    people = open_people(written(tmp_path, b"Name\na\n"), "utf-8-sig", None)
    assert people.is_same()
    written(tmp_path, b"Name\nb\n")
    assert not people.is_same()


UNREADABLE = {
    "not there": (None, "utf-8-sig", None, "No such file"),
    "no header": (b"", "utf-8-sig", None, "has no header"),
    "an empty header": (b",,\n1,2,3\n", "utf-8-sig", None, "has no header"),
    "another encoding": ("Name\nОлена\n".encode("cp1251"), "utf-8-sig", None, "is not utf-8"),
    "an encoding that nobody knows": (b"Name\n", "klingon", None, "unknown encoding"),
    "a delimiter of two signs": (b"Name\n", "utf-8", "::", "--delimiter"),
    "a quote that never ends": (b'Name,Phone\n"Olena,1\n', "utf-8-sig", None, "line 2"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable(case: str, tmp_path: Path) -> None:
    content, encoding, delimiter, words = UNREADABLE[case]
    path = tmp_path / "people.csv" if content is None else written(tmp_path, content)
    with pytest.raises(ConfigError, match=words):
        list(open_people(path, encoding, delimiter).rows())
