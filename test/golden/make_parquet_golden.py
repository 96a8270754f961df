"""Small Parquet files as pyarrow writes them, with the rows that they hold as JSON.

Run: /opt/peers/bin/python test/golden/make_parquet_golden.py
Made with pyarrow 26.0.1. Tolerance: none, values are equal; times are ISO 8601 text, bytes Base64, NaN null.

Each file covers what the Hub's files are made with: the compressions, dictionaries and none, data pages of both
versions, lists of structs, nulls at every level, several row groups.
"""

import base64
import datetime
import json
import math
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


def as_json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
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
    rows = [as_json(row) for row in TABLE.to_pylist()]
    (HERE / "parquet.json").write_text(json.dumps(rows, ensure_ascii=False, indent=None) + "\n")


if __name__ == "__main__":
    main()
