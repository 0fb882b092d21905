//! The session of one dead process, from its map to its end.

use std::path::{Path, PathBuf};

use crate::{
    Compression, Config, Dropped, Error, LogId, Retention, Rotation, Salvaged,
    format::Kind,
    io::Driver,
    sync::Arc,
    write::{
        archive::Archivist,
        crash::{Before, Entry, LogAccount, Placed, Remains},
        flush::{Closer, Intake, LogWriter, OneLog, Rest, Resumed, Session, Teller, start_flusher},
        segments::{Adopted, EventOf, Spot, Zone},
        swap::{Bell, Pool, Shards},
    },
};

/// A session whose process is dead, with a flusher of its own. It takes no records.
pub(super) struct Remnant {
    closer: Closer<OneLog>,
    records_before: u64,
    map: PathBuf,
    file: PathBuf,
}

/// Where a dead session stands.
struct Standing {
    /// The state in front of the first part that is not safe, and behind the last one.
    before: Before,
    behind: Before,
    first_sequence: u64,
    next_sequence: u64,
    /// The place of the first part that is not safe; `None`: the session has left that file.
    spot: Option<Spot>,
}

/// What is known of a session whose process is dead.
pub(super) struct Left<'a> {
    /// The path of the map.
    pub(super) map: PathBuf,
    pub(super) account: LogAccount,
    pub(super) remains: Remains,
    pub(super) log_id: LogId,
    pub(super) session: u64,
    /// The buffers with records that may be in no file, and the generation at which each shard ends.
    pub(super) pool: Pool,
    pub(super) ends: Vec<u64>,
    /// The path of the log in the failover directory of the session.
    pub(super) away: Option<&'a Path>,
    /// The manager's directory, and the name of the event, if the log is an event's.
    pub(super) event: Option<EventOf<'a>>,
}

impl Remnant {
    /// Takes over a session. `config` has the log's path. The inner error says why the map cannot be used.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another logger writes the log; the system's errors.
    pub(super) fn of(left: Left<'_>, mut config: Config) -> Result<Result<Remnant, String>, Error> {
        let Left { map, account, remains, log_id, session, pool, ends, away, event } = left;
        let align = remains.whereabouts.align;
        let standing = Standing::of(&remains, align);
        // The buffers are the dead session's; and its file is ended as it is, whatever is due by now.
        config.num_shards = ends.len();
        config.buffer_size = ends.len() * pool.capacity().max(Config::MIN_SHARD_SIZE);
        (config.rotation, config.retention) = (Rotation::default(), Retention::default());
        config.compression = Compression::default();
        config.crash_safe = None;
        let mut config = config.validate()?;
        let teller = Teller::stand_in(&mut config);
        let bell = Arc::new(Bell::new()?);
        let driver = Driver::new(config.engine, bell.alarm())?;
        let adopted = Adopted {
            log_id,
            session,
            away,
            event,
            whereabouts: remains.whereabouts,
            spot: standing.spot,
            first_sequence: standing.first_sequence,
        };
        let shards = Shards::adopted(pool, bell.clone(), &ends, &remains.drops, account)?;
        let shards = Arc::new(shards);
        let Some(parts) = parts(&shards, &remains, standing.spot.is_some()) else {
            return Ok(Err("a part of its journal has no buffer".into()));
        };
        let (files, segment) = adopted.open(&config, driver)?;
        if segment.align() as u64 > align {
            return Ok(Err("the device asks for a greater alignment than the buffers have".into()));
        }
        let file = segment.path().to_owned();
        let session = Session::new(session, Intake::Shards(shards.clone()), bell);
        let session = Arc::new(session);
        let zone = Zone::of(&config.rotation)?;
        let files = Box::new(files);
        let mut writer = LogWriter::new(session.clone(), segment, files, &config, zone, None);
        let Standing { before, behind, next_sequence, .. } = standing;
        let tracks = remains.tracks;
        let noted = Dropped::default();
        writer.adopt(Rest { tracks, before, behind, next_sequence, noted, parts })?;
        let flusher = start_flusher(shards.clone(), writer, false)?;
        let dead = OneLog { shards, session, config };
        let closer = Closer::new(dead, flusher, Arc::new(Archivist::new()), teller);
        Ok(Ok(Remnant { closer, records_before: before.records, map, file }))
    }

    /// Writes everything, and ends the file. If that fails, the rest stays in the map.
    ///
    /// # Errors
    /// The device does not take the records now.
    pub(super) fn write(self) -> Result<Salvaged, Error> {
        let Remnant { closer, records_before, map, file } = self;
        closer.close()?;
        let of = closer.of();
        let stats = of.session.stats();
        Ok(Salvaged {
            log: of.config.path().to_owned(),
            map,
            file,
            records: stats.written,
            bytes: stats.payload_bytes,
            safe: records_before,
        })
    }
}

/// What would be written of a session.
pub(super) fn preview(
    map: PathBuf,
    log: PathBuf,
    remains: &Remains,
    (records, bytes): (u64, u64),
) -> Salvaged {
    let safe = Standing::of(remains, remains.whereabouts.align).before.records;
    Salvaged { file: log.clone(), log, map, records, bytes, safe }
}

impl Standing {
    fn of(remains: &Remains, align: u64) -> Standing {
        let last = remains.parts.last();
        let behind = last.or(remains.left.as_ref()).map(behind).unwrap_or_default();
        let next_sequence = last.or(remains.left.as_ref()).map_or(0, next_sequence);
        let begin = Spot {
            segment: remains.whereabouts.segment,
            offset: remains.whereabouts.begin,
            records: 0,
            first_time: 0,
            last_time: 0,
        };
        let (before, first_sequence, spot) = match (remains.parts.first(), &remains.left) {
            (Some(first), _) => {
                // The end of a file that a rotation leaves: what follows belongs to the next one.
                let is_left = last.is_some_and(is_end_of_file);
                let spot = (!is_left).then(|| spot_of(first.segment, first.offset, &first.before));
                (first.before, sequence(first), spot)
            }
            (None, Some(left)) if left.segment == remains.whereabouts.segment => {
                let at = left.offset + len(left, align);
                let spot = (!is_end_of_file(left)).then(|| spot_of(left.segment, at, &behind));
                (behind, next_sequence, spot)
            }
            // The session has begun a file, and has put nothing into it.
            _ => (behind, next_sequence, Some(begin)),
        };
        Standing { before, behind, first_sequence, next_sequence, spot }
    }
}

fn spot_of(segment: u64, offset: u64, before: &Before) -> Spot {
    let Before { segment_records: records, first_time, last_time, .. } = *before;
    Spot { segment, offset, records, first_time, last_time }
}

fn behind(part: &Entry) -> Before {
    match &part.placed {
        Placed::Block { info, time } => part.before.after(info, *time),
        Placed::Totals { .. } => part.before,
    }
}

/// The sequence of the first block from this part on.
fn sequence(part: &Entry) -> u64 {
    match &part.placed {
        Placed::Block { info, .. } => info.sequence,
        Placed::Totals { totals, .. } => totals.next_sequence,
    }
}

fn next_sequence(part: &Entry) -> u64 {
    match &part.placed {
        Placed::Block { info, .. } => info.sequence + 1,
        Placed::Totals { totals, .. } => totals.next_sequence,
    }
}

/// The bytes that a part takes in a file of this alignment.
fn len(part: &Entry, align: u64) -> u64 {
    match &part.placed {
        Placed::Block { info, .. } => {
            let mut info = *info;
            info.set_lengths(info.valid, align as usize);
            info.block_len()
        }
        Placed::Totals { .. } => align,
    }
}

/// Whether a part is the end of a file that the session has left for another one.
fn is_end_of_file(part: &Entry) -> bool {
    match &part.placed {
        Placed::Totals { kind, totals } => *kind == Kind::End && !totals.session_over,
        Placed::Block { .. } => false,
    }
}

/// The parts of a journal, with their buffers; `None` if one is missing. If the session has left the file of the parts,
/// that file's end is left out.
fn parts(shards: &Arc<Shards>, remains: &Remains, stays: bool) -> Option<Vec<Resumed>> {
    let wanted = remains.parts.iter().filter(|part| stays || !is_end_of_file(part));
    let part = |part: &Entry| {
        Some(match &part.placed {
            Placed::Block { info, time } => {
                let is_it =
                    |shard, generation| (shard, generation) == (info.shard, info.generation);
                let memory = shards.pool().sealed().take_next(is_it)?;
                Resumed::Block { memory, info: *info, time: *time }
            }
            Placed::Totals { kind, totals } => Resumed::Totals { kind: *kind, totals: *totals },
        })
    };
    wanted.map(part).collect()
}
