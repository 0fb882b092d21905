//! logforth: its file appender behind its asynchronous one.

use logforth::{
    Diagnostic, Error, Layout,
    append::{asynchronous::AsyncBuilder, file::FileBuilder},
    bridge::log::LogBridge,
    record,
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject},
};

pub(super) struct Logforth;

#[derive(Debug)]
struct Plain;

impl Layout for Plain {
    fn format(
        &self,
        record: &record::Record<'_>,
        _: &[Box<dyn Diagnostic>],
    ) -> Result<Vec<u8>, Error> {
        Ok(record.payload().to_string().into_bytes())
    }
}

impl Subject for Logforth {
    const NAME: &'static str = "logforth";
    const SETUP: &'static str = "Async over File, overflow_block, defaults: no limit";
    const NO_ROTATION: Option<&'static str> = Some("rotates by the minute at most");

    fn open(place: &Place) -> Outcome<Logforth> {
        let file = FileBuilder::new(&place.directory, "peer").layout(Plain).build();
        let file = file.map_err(|error| error.to_string())?;
        let queue = AsyncBuilder::new("logforth").overflow_block().append(file).build();
        let logger = logforth::core::builder().dispatch(|dispatch| dispatch.append(queue)).build();
        log::set_boxed_logger(Box::new(LogBridge::new(logger)))?;
        log::set_max_level(log::LevelFilter::Info);
        Ok(Logforth)
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        log::info!("{}", record.text());
    }

    fn end(self) -> Outcome<Option<u64>> {
        log::logger().flush();
        Ok(None)
    }
}
