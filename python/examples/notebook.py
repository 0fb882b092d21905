# %% [markdown]
# # From a directory of logs to counts by event
#
# Run the cells one by one in an editor that knows percent cells, or the whole file: `python notebook.py DIRECTORY`.
# It needs pyasynclogger, pyarrow and duckdb.

# %% The directory of the logs
import sys

import duckdb
import pyarrow.compute as pc

import pyasynclogger

directory = sys.argv[1] if len(sys.argv) == 2 else "/var/log/app"

# %% All records as a table of pyarrow
reader = pyasynclogger.open(directory)
table = reader.to_arrow()
print(table.schema)

# %% Is anything missing? A count means little before this is known.
report = reader.report()
print(f"{report['records']} records, lost {report['lost']}, dropped {report['dropped']['total']}")
for damage in report["damage"]:
    print(f"{damage['path']} at {damage['offset']}: {damage['kind']}, lost {damage['lost']}")

# %% Records and bytes by event, in pyarrow
sizes = table.append_column("bytes", pc.binary_length(table["payload"]))
by_event = sizes.group_by("event").aggregate([("seq", "count"), ("bytes", "sum")])
for row in by_event.to_pylist():
    print(row["event"], row["seq_count"], row["bytes_sum"])

# %% The same in SQL, out of a stream: the records are never in memory all at once
batches = pyasynclogger.open(directory).to_batches()
counts = duckdb.sql(
    """
    select event::varchar as event, count(*) as records, min(ts) as first, max(ts) as last
    from batches group by all order by records desc
    """
)
print(counts)

# %% The last ten minutes, in one order by time
last = max((time for time in table["ts_ns"].to_pylist() if time is not None), default=0)
recent = pyasynclogger.open(directory, since=last - 10 * 60 * 10**9, by_time=True)
print(sum(1 for _ in recent), "records in the last ten minutes")
