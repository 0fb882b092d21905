//! The options of `ship`.

use std::path::PathBuf;

use asynclogger_ship::{Layout, OverLimit};
use clap::{Args, ValueEnum};

use super::units::parse_size;

#[derive(Debug, Args)]
pub(crate) struct ShipArgs {
    /// Where to: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///DIR, without credentials
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The names of the objects, from {event}, {date}, {hour}, {start}, {host}, {log}, {segment}, {ext}
    #[arg(long, value_name = "PATTERN", default_value = Layout::DEFAULT, value_parser = parse_layout)]
    pub(crate) layout: Layout,
    /// The name for {host} [default: that of this host]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Go on, and ship what is archived later, until SIGINT or SIGTERM
    #[arg(long)]
    pub(crate) watch: bool,
    /// Read each object back, and delete the file once a manifest lists the object
    #[arg(long)]
    pub(crate) delete_after_verify: bool,
    /// Archive the active files of logs that nobody writes, and ship them, too
    #[arg(long, conflicts_with = "watch")]
    pub(crate) finish: bool,
    /// Bytes a second, over all uploads [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) rate: Option<usize>,
    /// Segments on their way at a time; each takes the memory of three parts
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) concurrency: usize,
    /// Bytes of a part, at least 5M
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = parse_size)]
    pub(crate) part: usize,
    /// Bytes of segments that may wait here while the store takes none [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) keep_local: Option<usize>,
    /// With more than --keep-local: wait, or delete the oldest and declare the loss in the next manifest
    #[arg(long, value_enum, default_value_t = OverLimitArg::Wait, requires = "keep_local")]
    pub(crate) over_limit: OverLimitArg,
    /// One JSON object for each thing that happens, and one with the sums at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// The directory of the logs
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OverLimitArg {
    Wait,
    DeleteOldest,
}

impl From<OverLimitArg> for OverLimit {
    fn from(arg: OverLimitArg) -> OverLimit {
        match arg {
            OverLimitArg::Wait => OverLimit::Wait,
            OverLimitArg::DeleteOldest => OverLimit::DeleteOldest,
        }
    }
}

fn parse_layout(text: &str) -> Result<Layout, String> {
    Layout::parse(text).map_err(|error| error.to_string())
}
