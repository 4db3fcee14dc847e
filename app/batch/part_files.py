"""The files that rows are written to: Parquet or lines of JSON. Knows nothing about folders."""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Literal, Protocol, cast, get_type_hints

from app.batch.rows import Row

FileFormat = Literal["parquet", "jsonl"]


class PartFormat(Protocol):
    """How rows become a file, and a file rows."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return the file of the rows."""

    def read(self, file: BinaryIO) -> list[Row]:
        """Return the rows of a file."""

    def read_columns(self, file: BinaryIO, names: Sequence[str]) -> Iterable[dict[str, Any]]:
        """Yield some columns of each row."""


class JsonLines:
    """A line of JSON for each row."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return the file of the rows."""
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()

    def read(self, file: BinaryIO) -> list[Row]:
        """Return the rows of a file."""
        return [cast(Row, json.loads(line)) for line in file]

    def read_columns(self, file: BinaryIO, names: Sequence[str]) -> Iterable[dict[str, Any]]:
        """Yield some columns of each row."""
        for line in file:
            values = json.loads(line)
            yield {name: values[name] for name in names}


class Parquet:
    """A Parquet file, compressed with zstd. Its columns always have the same types, also where all are null."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return the file of the rows."""
        import pyarrow as pa
        from pyarrow import parquet

        types = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
        fields = [
            pa.field(name, next(types[one] for one in types if hint is one or one in getattr(hint, "__args__", ())))
            for name, hint in get_type_hints(Row).items()
        ]
        buffer = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), buffer, compression="zstd")
        return buffer.getvalue()

    def read(self, file: BinaryIO) -> list[Row]:
        """Return the rows of a file."""
        from pyarrow import parquet

        return cast(list[Row], parquet.read_table(file).to_pylist())

    def read_columns(self, file: BinaryIO, names: Sequence[str]) -> Iterable[dict[str, Any]]:
        """Yield some columns of each row."""
        from pyarrow import parquet

        yield from parquet.ParquetFile(file).read(list(names)).to_pylist()


PART_FORMATS: dict[FileFormat, PartFormat] = {"parquet": Parquet(), "jsonl": JsonLines()}
