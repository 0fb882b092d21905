//! The events of a dead manager: their records are gathered out of the map, and written by a remnant for each event.
//!
//! A record is in exactly one of two places: in the shared buffer to which its caller copied it, or in a piece of its
//! event. The sorter moves it by two stores: first the block of the event counts the record, then the shared buffer
//! passes over it. Both stores carry the number of the move, so a move that was half done is recognised.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::remnant::{Left, Remnant, preview};
use crate::{
    Config, CrashSafe, Error, ErrorKind, LeftAlone, LogId, MapInUse, Salvage, Salvaged,
    format::{
        Column, MapHead, RECORD_HEADER, Scale,
        column::{SCALE_LEN, column_len},
        record::Records,
    },
    io::{Directory, EventsLock},
    mem::Piece,
    sync::{Arc, thread},
    write::{
        common::{Grid, When},
        crash::{
            CrashMap, Entry, Identity, LogAccount, Opening, PieceOwner, Placed, Remains, is_number,
            path_in, wrapped_serial,
        },
        segments::EventOf,
        swap::{Filling, HEADER, LeftBuffer, Pool},
    },
};

/// The number of an event in front of each record of a shared buffer.
const TAG: usize = 4;
/// The longest block that is made of records of shared buffers.
const LONGEST: usize = 4 << 20;
/// The number of events that are written at a time: each waits for its own file.
const AT_ONCE: usize = 8;

/// Writes what dead managers have left for this directory, which is locked.
///
/// # Errors
/// What was found cannot be written now; it stays where it is, and the call can be repeated.
pub(in crate::write) fn salvage_events(
    config: &Config,
    place: &CrashSafe,
    (directory, lock): (&Arc<Directory>, &EventsLock),
) -> Result<Salvage, Error> {
    let mut done = Salvage::default();
    let path = std::path::absolute(directory.path());
    let path = path.unwrap_or_else(|_| directory.path().to_owned());
    // A place that cannot be used is refused when the manager's own map is made there.
    let maps: Vec<_> = CrashMap::find(place).filter_map(Result::ok).flatten().collect();
    for map in maps {
        let is_ours = |head: &MapHead| head.logs > 0 && path_in(head) == path;
        let (Some(map), _) = open_if(&map, CrashMap::open, is_ours, &mut done)? else { continue };
        write_all(&map, config, (directory, lock), &mut done)?;
    }
    Ok(done)
}

/// Writes what one map of a manager holds, to this directory; with `is_trial` only counts it.
///
/// # Errors
/// The same as for [`salvage_events`].
pub(super) fn salvage_manager(
    map: &Path,
    directory: &Path,
    is_trial: bool,
    done: &mut Salvage,
) -> Result<(), Error> {
    if is_trial {
        let (Some(map), path) = open_if(map, CrashMap::copy, |_| true, done)? else {
            return Ok(());
        };
        match Dead::read(&map) {
            Ok(dead) => done.sessions.extend(dead.preview(&path, directory)),
            Err(reason) => done.left_alone.push(LeftAlone { map: path, reason }),
        }
        return Ok(());
    }
    let directory = Arc::new(Directory::open_or_create(directory)?);
    let lock = match EventsLock::take(&directory, directory.path()) {
        // Perhaps the map's own manager; its map says which process that is.
        Err(error) if error.kind() == ErrorKind::InUse => {
            let before = done.in_use.len();
            let _ = open_if(map, CrashMap::copy, |_| true, done)?;
            return if done.in_use.len() > before { Ok(()) } else { Err(error) };
        }
        lock => lock?,
    };
    if let (Some(map), _) = open_if(map, CrashMap::open, |_| true, done)? {
        write_all(&map, &Config::default(), (&directory, &lock), done)?;
    }
    Ok(())
}

/// Whether a manager that is dead wrote one of these logs.
///
/// # Errors
/// The system's errors.
pub(super) fn has_log(map: &Path, log_ids: &[LogId]) -> Result<bool, Error> {
    if log_ids.is_empty() {
        return Ok(false);
    }
    let Opening::Opened(map) = CrashMap::copy(map)? else { return Ok(false) };
    let mut places = 0..map.head().logs as usize;
    Ok(places.any(|place| {
        let entered = map.is_entered(place).then(|| map.identity(place)).flatten();
        entered.is_some_and(|event| log_ids.contains(&event.log_id))
    }))
}

/// Opens a map whose manager is dead, if it is wanted, by its head. Returns the path, too.
fn open_if(
    path: &Path,
    open: fn(&Path) -> Result<Opening, Error>,
    is_wanted: impl FnOnce(&MapHead) -> bool,
    done: &mut Salvage,
) -> Result<(Option<Arc<CrashMap>>, PathBuf), Error> {
    let map_path = path.to_owned();
    let unusable = |reason| LeftAlone { map: map_path.clone(), reason };
    let found = match CrashMap::peek(path)? {
        Some(Ok(head)) if is_wanted(&head) => match open(path)? {
            Opening::Opened(map) => Some(Arc::new(*map)),
            Opening::Unusable(reason) => {
                done.left_alone.push(unusable(reason));
                None
            }
            Opening::InUse => {
                let (log, pid) = (path_in(&head), head.pid);
                done.in_use.push(MapInUse { map: map_path.clone(), log, pid });
                None
            }
            Opening::Gone => None,
        },
        Some(Err(reason)) => {
            done.left_alone.push(unusable(reason));
            None
        }
        _ => None,
    };
    Ok((found, map_path))
}

/// Writes all events of a map, and removes it.
fn write_all(
    map: &Arc<CrashMap>,
    config: &Config,
    (directory, lock): (&Arc<Directory>, &EventsLock),
    done: &mut Salvage,
) -> Result<(), Error> {
    let path = map.path().unwrap_or_default();
    let mut leave = |reason| done.left_alone.push(LeftAlone { map: path.clone(), reason });
    let dead = match Dead::read(map) {
        Ok(dead) => dead,
        Err(reason) => {
            leave(reason);
            return Ok(());
        }
    };
    let (sessions, problems) = dead.write(config, directory, lock)?;
    match problems.first() {
        Some(reason) => leave(reason.clone()),
        // All events have ended, so the records of the shared buffers are in files, too.
        None => map.remove()?,
    }
    done.sessions.extend(sessions);
    Ok(())
}

/// All that a dead manager has left.
struct Dead {
    map: Arc<CrashMap>,
    events: Vec<DeadEvent>,
}

/// One event of a dead manager.
struct DeadEvent {
    place: u32,
    identity: Identity,
    remains: Remains,
    /// Runs of whole records that may be in no file, by generation, with their times.
    blocks: BTreeMap<u64, Filling>,
    /// The generation of the first block that is made of records of shared buffers.
    next: u64,
}

/// The records of the shared buffers for one event, with their times, if records have times.
#[derive(Default)]
struct Rest {
    records: Vec<u8>,
    times: Vec<When>,
}

/// A block of an event, as its pieces say.
#[derive(Default)]
struct Block {
    /// The pieces with records, and those with their times, each with its place among its like.
    pieces: Vec<(u32, usize)>,
    heads: Vec<(u32, usize)>,
    filled: u32,
    serial: u32,
}

impl Dead {
    /// Reads a map whose manager is dead.
    ///
    /// # Errors
    /// What contradicts the account.
    fn read(map: &Arc<CrashMap>) -> Result<Dead, String> {
        let pieces = map.pieces()?;
        let mut owned: BTreeMap<(u32, u64), Block> = BTreeMap::new();
        for (number, _) in pieces.iter().enumerate() {
            let Some(owner) = map.piece_owner(number as u32)? else {
                continue;
            };
            let PieceOwner { log, generation, order, is_of_head, filled, serial } = owner;
            let block = owned.entry((log, generation)).or_default();
            if is_of_head {
                block.heads.push((order, number));
                continue;
            }
            block.pieces.push((order, number));
            if order == 0 {
                (block.filled, block.serial) = (filled, serial);
            }
        }
        let mut events = Vec::new();
        let mut serials = BTreeMap::new();
        for place in 0..map.head().logs {
            if !map.is_entered(place as usize) {
                continue;
            }
            let identity = map.identity(place as usize).ok_or("an event of it is damaged")?;
            let account = LogAccount::of(map, place as usize);
            if !account.has_file() {
                continue;
            }
            let remains = Remains::read(&account)?;
            let (mut blocks, mut next) = (BTreeMap::new(), map.sealed(place)?);
            for ((_, generation), block) in owned.range((place, 0)..=(place, u64::MAX)) {
                if block.filled == 0 {
                    continue;
                }
                next = next.max(generation + 1);
                serials.insert((identity.number, block.serial), ());
                if remains.waits(0, *generation).is_some() {
                    let align = remains.whereabouts.align as usize;
                    let records = block.records(&pieces, align)?;
                    let count = Records::new(&records, 0).count();
                    let is_timed = map.head().times > 0;
                    let times =
                        if is_timed { Some(block.times(&pieces, align, count)?) } else { None };
                    blocks.insert(*generation, Filling { records, times });
                }
            }
            events.push(DeadEvent { place, identity, remains, blocks, next });
        }
        let mut dead = Dead { map: map.clone(), events };
        dead.sort_the_rest(&serials)?;
        // Before the first of them is written: then all of the map is left alone.
        dead.events.iter().try_for_each(DeadEvent::check)?;
        Ok(dead)
    }

    /// What would be written, event by event.
    fn preview(&self, map: &Path, directory: &Path) -> Vec<Salvaged> {
        let preview_of = |event: &DeadEvent| {
            let records = event.blocks.values().flat_map(|block| Records::new(&block.records, 0));
            let counts = records.fold((0, 0), |(records, bytes), (_, record)| {
                (records + 1, bytes + record.len() as u64)
            });
            let log = directory.join(format!("{}.log", event.identity.base));
            preview(map.to_owned(), log, &event.remains, counts)
        };
        self.events.iter().map(preview_of).collect()
    }

    /// Adds the records of the shared buffers to their events, those of a shard in their order.
    fn sort_the_rest(&mut self, serials: &BTreeMap<(u32, u32), ()>) -> Result<(), String> {
        let buffers = Pool::left_in(&self.map)?;
        let mut more: BTreeMap<u32, Rest> = BTreeMap::new();
        for LeftBuffer { buffer, bytes, times } in buffers {
            let (at, serial) = self.map.sorted_to(buffer)?;
            let mut at = (at as usize).max(HEADER);
            if at > bytes.len() {
                return Err("more of a shared buffer is sorted than it has".into());
            }
            let sorted = Records::new(bytes.get(..at).unwrap_or_default(), HEADER).count();
            let mut times = times.iter().skip(sorted);
            let mut may_be_moved = serial > 0 || at > HEADER;
            while at < bytes.len() {
                let (number, record, next) =
                    tagged(&bytes, at).ok_or("the records of a shared buffer do not add up")?;
                if !is_number(number) {
                    return Err("a record of a shared buffer is of no event".into());
                }
                // Only the first one can be counted by its event already.
                let is_moved = std::mem::take(&mut may_be_moved)
                    && serials.contains_key(&(number, wrapped_serial(serial + 1)));
                let when = times.next();
                if !is_moved {
                    let rest = more.entry(number).or_default();
                    rest.records.extend_from_slice(&(record.len() as u32).to_le_bytes());
                    rest.records.extend_from_slice(record);
                    rest.times.extend(when);
                }
                at = next;
            }
        }
        for event in &mut self.events {
            if let Some(rest) = more.remove(&event.identity.number) {
                event.add(&rest);
            }
        }
        // What is left belongs to events that were closed when their records came: nobody accepted those.
        Ok(())
    }

    /// Writes the events, some at a time. Returns their sessions, and what cannot be used.
    fn write(
        self,
        config: &Config,
        directory: &Arc<Directory>,
        lock: &EventsLock,
    ) -> Result<(Vec<Salvaged>, Vec<String>), Error> {
        let Dead { map, events } = self;
        let (mut sessions, mut problems) = (Vec::new(), Vec::new());
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let group: Vec<_> = events.by_ref().take(AT_ONCE).collect();
            let results = thread::scope(|scope| {
                let begun = group.into_iter().map(|event| {
                    let map = &map;
                    scope.spawn(move || event.write(map, config, directory, lock))
                });
                let begun: Vec<_> = begun.collect();
                begun.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
            });
            for result in results {
                match result {
                    Ok(Ok(Ok(session))) => sessions.push(session),
                    Ok(Ok(Err(reason))) => problems.push(reason),
                    Ok(Err(error)) => return Err(error),
                    Err(_panic) => problems.push("the salvage of an event has panicked".into()),
                }
            }
        }
        Ok((sessions, problems))
    }
}

impl Block {
    /// The records of the block.
    fn records(&self, pieces: &[Piece], align: usize) -> Result<Vec<u8>, String> {
        let order = in_order(&self.pieces)?;
        let (from, to) = (align + HEADER, align + self.filled as usize);
        let mut bytes = Vec::with_capacity(self.filled as usize);
        let mut start = 0;
        for (_, number) in order {
            let piece = &pieces[number];
            let (first, last) = (from.max(start), to.min(start + piece.len()));
            if first < last {
                bytes.extend_from_slice(&piece[first - start..last - start]);
            }
            start += piece.len();
        }
        if bytes.len() + HEADER != self.filled as usize || !are_whole(&bytes) {
            return Err("the records of a block do not add up".into());
        }
        Ok(bytes)
    }

    /// The times of the first `count` records: in front of the records, or in the pieces of the head, if the block has some.
    fn times(
        &self,
        pieces: &[Piece],
        align: usize,
        count: usize,
    ) -> Result<(Scale, Vec<u32>), String> {
        let head: Vec<u8> = if self.heads.is_empty() {
            let first = in_order(&self.pieces)?.first().map(|(_, number)| &pieces[*number]);
            first.and_then(|first| first.get(..align)).unwrap_or_default().to_vec()
        } else {
            let heads = in_order(&self.heads)?.into_iter().rev();
            heads.flat_map(|(_, number)| pieces[number].iter().copied()).collect()
        };
        let scale = Scale::decode(&head).ok_or("the scale of a block's times is damaged")?;
        let end = head.len() - SCALE_LEN;
        let start = end.checked_sub(column_len(count));
        let column = start.and_then(|start| head.get(start..end));
        let column = column.ok_or("a block has no room for its times")?;
        Ok((scale, Column::of(column).entries().collect()))
    }
}

/// Pieces in their order.
///
/// # Errors
/// One is missing.
fn in_order(pieces: &[(u32, usize)]) -> Result<Vec<(u32, usize)>, String> {
    let mut order = pieces.to_vec();
    order.sort_unstable();
    if order.iter().enumerate().any(|(at, (order, _))| at != *order as usize) {
        return Err("a piece of a block is missing".into());
    }
    Ok(order)
}

/// Whether bytes are a run of whole records.
fn are_whole(bytes: &[u8]) -> bool {
    let mut records = Records::new(bytes, 0);
    while records.next().is_some() {}
    records.offset() == bytes.len()
}

/// The event's number and the record at an offset of a shared buffer, and the offset behind.
fn tagged(bytes: &[u8], at: usize) -> Option<(u32, &[u8], usize)> {
    let (prefix, rest) = bytes.get(at..)?.split_at_checked(RECORD_HEADER)?;
    let len = u32::from_le_bytes(prefix.try_into().ok()?) as usize;
    let (tag, record) = rest.get(..len)?.split_at_checked(TAG)?;
    Some((u32::from_le_bytes(tag.try_into().ok()?), record, at + RECORD_HEADER + len))
}

impl DeadEvent {
    /// Adds records behind all others, in blocks of their own: the same blocks, however often that is repeated. Those
    /// that an earlier salvager has written are left out.
    fn add(&mut self, rest: &Rest) {
        let Rest { records: bytes, times } = rest;
        let (mut begin, mut records) = (0, Records::new(bytes, 0));
        let mut times = times.iter();
        let mut column: Option<(Grid, Vec<u32>)> = None;
        loop {
            let before = records.offset();
            let is_over = records.next().is_none();
            let when = times.next().filter(|_| !is_over);
            let entry = column.as_ref().zip(when).and_then(|((grid, _), when)| grid.entry(*when));
            let has_grid = entry.is_some() || when.is_none();
            if before > begin && (is_over || !has_grid || records.offset() - begin > LONGEST) {
                let times = column.take().map(|(grid, entries)| (grid.scale(), entries));
                if self.remains.waits(0, self.next).is_some() {
                    let records = bytes[begin..before].to_vec();
                    self.blocks.insert(self.next, Filling { records, times });
                }
                self.next += 1;
                begin = before;
            }
            if let Some(when) = when {
                let (grid, entries) =
                    column.get_or_insert_with(|| (Grid::around(*when), Vec::new()));
                entries.push(grid.entry(*when).unwrap_or(0));
            }
            if is_over {
                return;
            }
        }
    }

    /// Checks that no block is missing, and that those with a place in the file are as the journal says.
    ///
    /// # Errors
    /// What contradicts the account.
    fn check(&self) -> Result<(), String> {
        let DeadEvent { identity, remains, blocks, .. } = self;
        let first = blocks.keys().next().copied().unwrap_or(0);
        if blocks.keys().zip(first..).any(|(generation, expected)| *generation != expected) {
            return Err(format!("a block of the event {:?} is missing", identity.name));
        }
        let is_right = |part: &Entry| match &part.placed {
            Placed::Block { info, .. } => blocks.get(&info.generation).is_some_and(|block| {
                let records = Records::new(&block.records, 0).count();
                (block.records.len(), records) == (info.valid as usize, info.records as usize)
            }),
            Placed::Totals { .. } => true,
        };
        if remains.parts.iter().all(is_right) {
            Ok(())
        } else {
            Err(format!("a block of the event {:?} is not as its journal says", identity.name))
        }
    }

    /// Writes the event's records, and ends its file. The inner error says why its account cannot be used.
    fn write(
        self,
        map: &Arc<CrashMap>,
        config: &Config,
        directory: &Arc<Directory>,
        lock: &EventsLock,
    ) -> Result<Result<Salvaged, String>, Error> {
        let DeadEvent { place, identity, remains, blocks, .. } = self;
        let next = remains.tracks.first().map_or(0, |track| track.next_generation);
        let first = blocks.keys().next().copied().unwrap_or(next);
        let end = (first + blocks.len() as u64).max(next);
        let blocks: Vec<_> = blocks.into_values().collect();
        let pool = Pool::filled(&blocks, first, remains.whereabouts.align as usize)?;
        let mut config = config.clone();
        config.path = directory.path().join(format!("{}.log", identity.base));
        let away = map.away_path().map(|away| away.join(format!("{}.log", identity.base)));
        let event = EventOf { directory: directory.clone(), lock, name: &identity.name };
        let left = Left {
            map: map.path().unwrap_or_default(),
            account: LogAccount::of(map, place as usize),
            remains,
            log_id: identity.log_id,
            session: identity.session,
            pool,
            ends: vec![end],
            away: away.as_deref().map(Path::new),
            event: Some(event),
        };
        match Remnant::of(left, config)? {
            Ok(remnant) => remnant.write().map(Ok),
            Err(reason) => Ok(Err(reason)),
        }
    }
}
