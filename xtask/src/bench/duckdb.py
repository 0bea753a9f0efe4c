"""DuckDB takes in the events of our Parquet segments: duckdb.py SEGMENTS DATABASE. CPU time is of this process, user and system."""

import glob
import os
import resource
import sys
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

segments, database = sys.argv[1:3]
files = sorted(glob.glob(os.path.join(segments, "**", "*.parquet"), recursive=True))
table = pa.concat_tables([pq.ParquetFile(f).read() for f in files], promote_options="permissive")
empty = [name for name in table.column_names if table.column(name).null_count == table.num_rows]
table = table.drop_columns(empty).combine_chunks()
print(f"{table.num_rows} events, {table.num_columns} columns that hold something, DuckDB {duckdb.__version__}")
first = table.slice(0, 0)
connection = duckdb.connect(database)
connection.execute("CREATE TABLE events AS SELECT * FROM first")


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


batches = [pa.Table.from_batches([b]) for b in table.to_batches(max_chunksize=2000)]
began, before, slowest = time.monotonic(), cpu(), 0.0
for batch in batches:
    start = time.monotonic()
    connection.execute("INSERT INTO events SELECT * FROM batch")
    slowest = max(slowest, time.monotonic() - start)
connection.execute("CHECKPOINT")
used, wall = cpu() - before, time.monotonic() - began
rows = connection.execute("SELECT count(*) FROM events").fetchone()[0]
assert rows == table.num_rows, (rows, table.num_rows)
connection.close()
size = os.path.getsize(database)
print(f"DuckDB: {wall:.2f} s wall, {used:.2f} CPU-s, slowest batch {slowest * 1000:.0f} ms, {size / rows:.1f} B/event")
print(f"FIGURE duckdb_per_cpu_s {rows / used:.0f}")
