//! Logs of `asynclogger` as Parquet, Arrow and JSON Lines: what Spark, DuckDB, Polars and DataFusion read.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod batches;
