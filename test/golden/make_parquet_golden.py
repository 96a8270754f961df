"""Small Parquet files as pyarrow writes them, with the rows that they hold as JSON.

Run: /opt/peers/bin/python test/golden/make_parquet_golden.py
Made with pyarrow 26.0.1. Tolerance: none, values are equal, with all their digits; times are ISO 8601 text, bytes Base64,
NaN null.

Each file of TABLE covers what the Hub's files are made with: the compressions, dictionaries and none, data pages of both
versions, lists of structs, nulls at every level, several row groups. The files of TYPES have a column of every type, of
which several hold numbers that a double does not. The files "zero-…" have no rows.
"""

import base64
import datetime
import decimal
import json
import math
import re
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
ROWS = 23

TABLE = pa.table(
    {
        "id": pa.array([10**15 + i for i in range(ROWS)], pa.int64()),
        "beyond": pa.array([2**53 + 1 + i if i % 2 else None for i in range(ROWS)], pa.int64()),
        "small": pa.array([i % 5 for i in range(ROWS)], pa.int32()),
        "share": pa.array([math.nan if i == 3 else i / 8 for i in range(ROWS)], pa.float64()),
        "flag": pa.array([None if i == 4 else i % 3 == 0 for i in range(ROWS)], pa.bool_()),
        "text": pa.array([None if i % 7 == 6 else f"row {i} ü 思" for i in range(ROWS)], pa.string()),
        "same": pa.array(["always"] * ROWS, pa.string()),
        "nums": pa.array([None if i == 2 else list(range(i % 4)) for i in range(ROWS)], pa.list_(pa.int64())),
        "messages": pa.array(
            [
                [{"content": f"question {i}", "role": "user"}, {"content": None if i == 5 else "answer", "role": "assistant"}]
                for i in range(ROWS)
            ],
            pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())])),
        ),
        "info": pa.array([{"source": "made", "index": i} for i in range(ROWS)], pa.struct([("source", pa.string()), ("index", pa.int32())])),
        "when": pa.array([datetime.datetime(2024, 1, 1 + i) for i in range(ROWS)], pa.timestamp("us")),
        "raw": pa.array([bytes([255, i]) for i in range(ROWS)], pa.binary()),
    }
)

VARIANTS = {
    "snappy": {"compression": "snappy", "row_group_size": 10},
    "zstd-v2": {"compression": "zstd", "data_page_version": "2.0", "version": "2.6"},
    "gzip-plain": {"compression": "gzip", "use_dictionary": False},
    "none-small-pages": {"compression": "none", "row_group_size": 7, "data_page_size": 64},
    "brotli": {"compression": "brotli"},
    "lz4": {"compression": "lz4"},
}


D = decimal.Decimal
BEYOND = 2**53 + 1
EXACT = D("9007199254740993.1")
TYPES = pa.table(
    {
        "dec9": pa.array([D("1.50"), None, D("-9999999.99")], pa.decimal128(9, 2)),
        "dec18": pa.array([D("0.000000000000000001"), D("0.1"), None], pa.decimal128(18, 18)),
        "dec38": pa.array([D(BEYOND), D("-12345678901234567890123456789012345678"), None], pa.decimal128(38, 0)),
        "dec38s": pa.array(
            [D("1234567890.123456789012345678"), D("9007199254740993.000"), D("-0.5")], pa.decimal128(38, 18)
        ),
        "dec256": pa.array([D("1234567890123456789012345678901234567890.5"), None, D("0")], pa.decimal256(60, 1)),
        "i64": pa.array([BEYOND, -BEYOND, 7], pa.int64()),
        "u64": pa.array([2**64 - 1, None, BEYOND], pa.uint64()),
        "u32": pa.array([2**32 - 1, None, 3], pa.uint32()),
        "f32": pa.array([0.1, None, math.inf], pa.float32()),
        "f64": pa.array([0.1, math.nan, -math.inf], pa.float64()),
        "f16": pa.array([1.5, None, -2.0], pa.float16()),
        "ts_s": pa.array([1, None, -1], pa.timestamp("s")),
        "ts_ms": pa.array([1, None, -1], pa.timestamp("ms")),
        "ts_us": pa.array([1700000000123456, None, -1], pa.timestamp("us")),
        "ts_tz": pa.array([1700000000123456, None, 0], pa.timestamp("us", tz="UTC")),
        "date32": pa.array([0, 19000, None], pa.date32()),
        "date64": pa.array([0, 86400000 * 19000, None], pa.date64()),
        "t64": pa.array([3600000000, None, 86399999999], pa.time64("us")),
        "list": pa.array([[EXACT, None], [], None], pa.list_(pa.decimal128(38, 1))),
        "lists": pa.array([[[D("1.0")], []], None, [None]], pa.list_(pa.list_(pa.decimal128(5, 1)))),
        "struct": pa.array(
            [{"p": EXACT, "t": 1}, None, {"p": None, "t": None}],
            pa.struct([("p", pa.decimal128(38, 1)), ("t", pa.time64("us"))]),
        ),
        "structs": pa.array(
            [[{"p": D("0.10")}], None, [None, {"p": None}]], pa.list_(pa.struct([("p", pa.decimal128(38, 2))]))
        ),
        "uuid": pa.array([bytes(range(16)), None, bytes(16)], pa.uuid()),
    }
)

TYPES_VARIANTS = {
    "types-dictionary": {},
    "types-plain": {"use_dictionary": False, "data_page_version": "2.0", "store_decimal_as_integer": True},
    "types-delta": {
        "use_dictionary": False,
        "column_encoding": {
            **{name: "DELTA_BINARY_PACKED" for name in ("i64", "u64", "ts_us")},
            **{name: "BYTE_STREAM_SPLIT" for name in ("f32", "dec38s")},
        },
    },
}


def as_json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        digits = value.strftime("%f")
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + (digits[:3] if digits.endswith("000") else digits) + "Z"
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, decimal.Decimal):
        return f"<number>{value:f}</number>"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def main():
    folder = HERE / "parquet"
    folder.mkdir(exist_ok=True)
    for name, options in VARIANTS.items():
        pq.write_table(TABLE, folder / f"{name}.parquet", **options)
    for name, options in TYPES_VARIANTS.items():
        pq.write_table(TYPES, folder / f"{name}.parquet", **options)
    # A row group of no rows, no row group, and groups of no rows before and after one that has some.
    pq.write_table(TABLE.slice(0, 0), folder / "zero-in-a-group.parquet")
    pq.ParquetWriter(folder / "zero-groups.parquet", TABLE.schema).close()
    with pq.ParquetWriter(folder / "zero-around.parquet", TABLE.schema) as writer:
        for part in (TABLE.slice(0, 0), TABLE.slice(0, 2), TABLE.slice(0, 0)):
            writer.write_table(part)
    write_rows("parquet.json", TABLE)
    write_rows("parquet-types.json", TYPES)


def write_rows(name, table):
    text = json.dumps([as_json(row) for row in table.to_pylist()], ensure_ascii=False, indent=None)
    (HERE / name).write_text(re.sub(r'"<number>([^<]*)</number>"', r"\1", text) + "\n")


if __name__ == "__main__":
    main()
