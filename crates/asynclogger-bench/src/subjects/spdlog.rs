//! spdlog-rs with an asynchronous file sink.

use std::sync::Arc;

use spdlog::{
    LevelFilter, Logger, ThreadPool,
    formatter::FullFormatter,
    info,
    sink::{AsyncPoolSink, FileSink, Sink},
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

pub(super) struct Spdlog {
    logger: Arc<Logger>,
    pool: Arc<ThreadPool>,
    file: Arc<FileSink>,
}

impl Subject for Spdlog {
    const NAME: &'static str = "spdlog-rs";
    const SETUP: &'static str = "AsyncPoolSink over FileSink, defaults: 8,192 records, blocking";
    const NO_ROTATION: Option<&'static str> = Some("rotates by the minute at most");

    fn open(place: &Place) -> Outcome<Spdlog> {
        let plain =
            FullFormatter::builder().time(false).level(false).source_location(false).build();
        let file = FileSink::builder().path(file_in(place)).formatter(plain).build_arc()?;
        // A pool of its own, so that its end can be waited for.
        let pool = Arc::new(ThreadPool::new()?);
        let sink =
            AsyncPoolSink::builder().sink(file.clone()).thread_pool(pool.clone()).build_arc()?;
        let logger = Logger::builder().sink(sink).level_filter(LevelFilter::All).build_arc()?;
        Ok(Spdlog { logger, pool, file })
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        info!(logger: self.logger, "{}", record.text());
    }

    fn end(self) -> Outcome<Option<u64>> {
        drop(self.logger);
        drop(self.pool);
        self.file.flush()?;
        Ok(None)
    }
}
