//! The loggers, each in a module of its own.

mod asynclogger;
mod channel;
mod fast_log;
mod flexi_logger;
mod floors;
mod ftlog;
mod logforth;
mod mutex;
#[cfg(feature = "quill")]
mod quill;
mod spdlog;
mod through_tracing;
mod tracing_appender;

use serde_json::Value;

use crate::{args::Plan, outcome::Outcome, scenarios, subject::Subject};

macro_rules! subjects {
    ($($(#[$when:meta])* $subject:ty,)*) => {
        /// Names and settings, one a line, for the script.
        pub(crate) fn list() -> String {
            let lines = [$($(#[$when])* format!("{}\t{}", <$subject>::NAME, <$subject>::SETUP),)*];
            lines.join("\n")
        }

        pub(crate) fn measure(plan: &Plan) -> Outcome<Value> {
            match plan.subject.as_str() {
                $($(#[$when])* <$subject>::NAME => scenarios::measure::<$subject>(plan),)*
                other => Err(format!("no such subject: {other}").into()),
            }
        }
    };
}

subjects! {
    floors::Empty,
    floors::Copy,
    asynclogger::Block,
    asynclogger::Drop,
    mutex::MutexWriter,
    channel::Channel,
    tracing_appender::Lossy,
    tracing_appender::Blocking,
    spdlog::Spdlog,
    flexi_logger::Flexi,
    fast_log::FastLog,
    ftlog::Ftlog,
    logforth::Logforth,
    #[cfg(feature = "quill")]
    quill::Quill,
    through_tracing::Sink,
    through_tracing::Ours,
    through_tracing::AppenderLossy,
    through_tracing::AppenderBlocking,
}
