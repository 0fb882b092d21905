"""Counts the records of a lake of Parquet, and of raw files, by event, with two executors.

usage: pipeline_spark.py LAKE RAW      prints one line of JSON
"""
import json
import os
import sys
from urllib.parse import unquote

from pyspark.sql import SparkSession

lake, raw = sys.argv[1:3]
os.environ["PYSPARK_PYTHON"] = sys.executable
spark = (
    SparkSession.builder.master("local-cluster[2,1,1024]")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "4")
    .getOrCreate()
)
found = {}
rows = spark.read.parquet(lake).groupBy("event").count().collect()
found["parquet"] = {unquote(row["event"]): row["count"] for row in rows}
try:
    from pyasynclogger.spark import AsyncloggerDataSource
except ImportError as error:
    print(f"skipped: the raw files: {error}", file=sys.stderr)
else:
    spark.dataSource.register(AsyncloggerDataSource)
    rows = spark.read.format("asynclogger").load(raw).groupBy("event").count().collect()
    found["raw"] = {row["event"]: row["count"] for row in rows}
spark.stop()
print(json.dumps(found))
