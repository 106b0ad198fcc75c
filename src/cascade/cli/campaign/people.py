"""A CSV file of people, read as a stream: a million rows take no more memory than one."""

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from cascade.core.errors import ConfigError

DELIMITERS: Final = ",;\t|"
CHUNK: Final = 1 << 20


class Row(NamedTuple):
    """`number` counts the rows of people from 1; `line` those of the file, where a row may take several."""

    number: int
    line: int
    values: list[str]


@dataclass(slots=True)
class People:
    """`read_bytes`: how far the present reading has come."""

    path: Path
    encoding: str
    delimiter: str
    columns: list[str]
    size_bytes: int
    digest: str
    read_bytes: int = field(default=0)

    def rows(self) -> Iterator[Row]:
        """Every row that holds something. Raises `ConfigError` where the file cannot be read."""
        with self.path.open("rb") as raw, io.TextIOWrapper(raw, self.encoding, newline="") as text:
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            number = 0
            try:
                next(reader)
                for values in reader:
                    if any(values):
                        number += 1
                        self.read_bytes = raw.tell()
                        yield Row(number, reader.line_num, values)
            except csv.Error as error:
                raise _unreadable(self.path, f"line {reader.line_num}: {error}") from error
            except UnicodeError as error:
                raise _undecodable(self.path, self.encoding) from error

    def is_same(self) -> bool:
        """Whether the file is still what it was."""
        return _digest(self.path) == self.digest


def open_people(path: Path, encoding: str, delimiter: str | None) -> People:
    """Look at the header; `ConfigError` when there is none that can be read. `delimiter` None: the one it uses."""
    try:
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"  # which reads a file without the mark, too
        with path.open(encoding=encoding, newline="") as text:
            used = delimiter or max(DELIMITERS, key=text.readline().count)
            text.seek(0)
            header = next(csv.reader(text, delimiter=used, strict=True), [])
        size_bytes, digest = path.stat().st_size, _digest(path)
    except OSError as error:
        raise ConfigError("--csv", f"cannot read {path}: {error.strerror}", "Name a file that exists") from error
    except LookupError as error:
        raise ConfigError("--encoding", str(error), "Write utf-8, or cp1251 for older Excel") from error
    except TypeError as error:
        raise ConfigError("--delimiter", str(error), "Write one sign, such as ;") from error
    except UnicodeError as error:
        raise _undecodable(path, encoding) from error
    except csv.Error as error:
        raise _unreadable(path, f"its header: {error}") from error
    columns = [name.strip() for name in header]
    if not any(columns):
        raise ConfigError("--csv", f"{path} has no header", "Its first line names the columns, such as phone,name")
    return People(path, encoding, used, columns, size_bytes, digest)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as raw:
        while chunk := raw.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _unreadable(path: Path, how: str) -> ConfigError:
    return ConfigError("--csv", f"{path} is not the CSV it seems, {how}", "Mend it there, or name its --delimiter")


def _undecodable(path: Path, encoding: str) -> ConfigError:
    written = encoding.removesuffix("-sig")
    return ConfigError(
        "--encoding", f"{path} is not {written}", "Save it as UTF-8, or name its encoding, such as cp1251"
    )
