//! The directory, and what the world has done to whose files. Whatever is done to a file goes through here, so that
//! the oracles know what is gone and through whom.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::CString,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use crate::{
    files::{Content, Log, below, identity, identity_of, names, read, read_open},
    plan::{Places, Plan},
    record::{EVENTS, Key},
    service::NOBODY,
};

/// A file that is not ours.
#[derive(Debug)]
pub struct Foreign {
    pub file: File,
    pub content: Vec<u8>,
    /// Where the world has put it; `None`: somewhere, under another name of the same file.
    pub path: Option<PathBuf>,
}

/// A file that the world has deleted, held open: what is in it is gone through the world.
#[derive(Debug)]
pub struct Grave {
    pub file: File,
    /// The last command that was given before.
    pub after: u64,
}

#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub places: Places,
    pub foreign: Vec<Foreign>,
    pub graves: Vec<Grave>,
    /// Records that the world has cut off or overwritten.
    pub destroyed: HashSet<Key>,
    /// The greatest number of each log that the world has taken out of sight; and the same when a service last opened.
    unseen: HashMap<Log, u64>,
    pub excused: HashMap<Log, u64>,
    /// The services that live have not all seen each other's numbers.
    pub is_shared: bool,
    /// The logs that the first service has surely opened: a manager opens an event with its first record.
    pub is_open: [bool; EVENTS.len()],
    /// The records of each segment that was over.
    pub archived: BTreeMap<(Log, u64), BTreeSet<Key>>,
    /// Files that got an archived name, or can get one, without a word of a service, held open: retention may delete
    /// them at any time.
    set_aside: Vec<File>,
    /// Every segment that was ever seen.
    pub segments: BTreeSet<(Log, u64)>,
    /// Where the world has moved the directory of the logs.
    pub moved: Vec<PathBuf>,
    pub filler: Option<PathBuf>,
    pub clock: i64,
    pub remark: Option<String>,
    /// Where the last renamed file went, for the trail.
    pub renamed_to: Option<PathBuf>,
    fresh: u64,
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

impl World {
    pub fn new(plan: Plan, places: Places) -> World {
        fs::create_dir_all(&places.logs).expect("a directory");
        fs::create_dir_all(places.top.join(GRAVEYARD)).expect("a directory");
        let mut world = World {
            plan,
            places,
            foreign: Vec::new(),
            graves: Vec::new(),
            destroyed: HashSet::new(),
            unseen: HashMap::new(),
            excused: HashMap::new(),
            is_shared: false,
            is_open: Default::default(),
            archived: BTreeMap::new(),
            set_aside: Vec::new(),
            segments: BTreeSet::new(),
            moved: Vec::new(),
            filler: None,
            clock: 0,
            renamed_to: None,
            remark: None,
            fresh: 0,
        };
        world.give_rights();
        world
    }

    pub fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    /// The directories that have files of the logs, the one that the services name first.
    pub fn homes(&self) -> Vec<PathBuf> {
        let all = [&self.places.logs, &self.places.away].into_iter().chain(&self.moved);
        all.filter(|path| path.is_dir()).cloned().collect()
    }

    /// Everything that the world and the services have below the top, but for the file that fills the disk.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = below(&self.places.top);
        files.retain(|path| Some(path) != self.filler.as_ref());
        files
    }

    pub fn foreign_at(&self, path: &Path) -> Option<usize> {
        let identity = identity(path)?;
        self.foreign.iter().position(|foreign| identity_of(&foreign.file) == identity)
    }

    /// A new file that is not ours, at a path that has none.
    pub fn put_foreign(&mut self, path: &Path, content: &[u8]) -> bool {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let Ok(file) = file else { return false };
        if std::io::Write::write_all(&mut &file, content).is_err() {
            // The disk is full.
            let _ = fs::remove_file(path);
            return false;
        }
        self.foreign.push(Foreign { file, content: content.into(), path: Some(path.into()) });
        true
    }

    fn out_of_sight(&mut self, content: Option<Content>) {
        if let Some(content) = content {
            let most = self.unseen.entry(content.log_id.clone()).or_default();
            *most = (*most).max(content.segment);
            let is_all_open = !self.plan.manager || self.is_open.iter().all(|is_open| *is_open);
            if self.is_shared || !is_all_open {
                // A writer knows its own numbers; those of the other one, or of an event that is still to be opened,
                // are hidden from it now.
                self.opening();
            }
        }
    }

    /// A service begins, and can see only what is there.
    pub fn opening(&mut self) {
        // An earlier one may have gone on in a directory that was moved away.
        for content in self.moved.iter().flat_map(|moved| below(moved)).filter_map(|it| read(&it)) {
            let most = self.unseen.entry(content.log_id).or_default();
            *most = (*most).max(content.segment);
        }
        for (log, number) in &self.unseen {
            let most = self.excused.entry(log.clone()).or_default();
            *most = (*most).max(*number);
        }
    }

    /// The file at `path` has just been taken from where services look, under this name.
    pub fn taken_away(&mut self, path: &Path) {
        let content = read(path);
        self.out_of_sight(content);
    }

    /// Deletes the file at `path`: what it is, is known only when it has no other name.
    pub fn delete(&mut self, path: &Path, after: u64) -> bool {
        let number = self.fresh();
        let grave = self.places.top.join(GRAVEYARD).join(number.to_string());
        if fs::rename(path, &grave).is_err() {
            return false;
        }
        self.bury(&grave, after);
        true
    }

    /// Deletes a file that no service can reach under this name.
    fn bury(&mut self, path: &Path, after: u64) {
        let Ok(metadata) = fs::symlink_metadata(path) else { return };
        if metadata.is_dir() {
            fs::remove_dir_all(path).expect("removed");
            return;
        }
        if let Some(index) = self.foreign_at(path) {
            if metadata.nlink() == 1 {
                self.foreign.remove(index);
            } else {
                self.foreign[index].path = None;
            }
        } else if metadata.is_file() {
            let file = File::open(path).expect("the world may read everything");
            let content = read(path);
            if crate::files::is_compressed(&file) {
                // Nobody writes to it any more.
                let has_other_name = metadata.nlink() > 1;
                let keys = content.iter().filter(|_| !has_other_name).flat_map(|it| &it.keys);
                self.destroyed.extend(keys);
            } else {
                self.graves.push(Grave { file, after });
            }
            self.out_of_sight(content);
        }
        fs::remove_file(path).expect("removed");
    }

    /// Puts the file at `new` in the place of the one at `path`, in one step, and deletes that.
    pub fn replace(&mut self, path: &Path, new: &Path, after: u64) -> bool {
        let (from, to) = (c_path(new), c_path(path));
        // Before the exchange: a service may set the new file aside at once.
        let foreign = self.foreign_at(new);
        let cwd = libc::AT_FDCWD;
        // SAFETY: both paths end with NUL.
        let result =
            unsafe { libc::renameat2(cwd, from.as_ptr(), cwd, to.as_ptr(), libc::RENAME_EXCHANGE) };
        if let Some(index) = foreign.filter(|_| result == 0) {
            self.foreign[index].path = Some(path.into());
        }
        self.bury(new, after);
        result == 0
    }

    /// Renames a file; never over another.
    pub fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let foreign = self.foreign_at(from);
        if to.symlink_metadata().is_ok() || fs::rename(from, to).is_err() {
            return false;
        }
        self.renamed_to = Some(to.into());
        // A service may have set the file aside already, or have renamed another one here just before.
        if let Some(index) = self.foreign_at(to).or(foreign) {
            self.foreign[index].path = Some(to.into());
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            if read(to).is_some() && !name.starts_with('w') {
                // A copy of a segment under a name of a segment is one of the log.
                self.foreign.remove(index);
            }
        } else {
            self.taken_away(to);
            if fs::symlink_metadata(to).is_ok_and(|metadata| metadata.is_file()) {
                self.set_aside.extend(File::open(to));
            }
        }
        true
    }

    /// What was in those files that were deleted since.
    pub fn know_set_aside(&mut self) {
        let mut set_aside = std::mem::take(&mut self.set_aside);
        set_aside.retain(|file| {
            let is_there = file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
            if !is_there && let Some(content) = read_open(file) {
                self.know(content);
            }
            is_there
        });
        self.set_aside = set_aside;
    }

    /// Does something to the bytes of a file that nobody writes at the moment.
    pub fn change(&mut self, path: &Path, change: impl FnOnce(&File)) -> bool {
        let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let Ok(file) = File::options().read(true).write(true).open(path) else { return false };
        if !is_file {
            return false;
        }
        let before = read(path);
        change(&file);
        if let Some(index) = self.foreign_at(path) {
            self.foreign[index].content = crate::files::bytes_of(&file);
            if self.foreign[index].content.is_empty() {
                // Nobody's file: a log begins in an empty file.
                self.foreign.remove(index);
            }
            return true;
        }
        self.remark =
            before.as_ref().map(|it| format!("{} {:?}", it.keys.len(), it.keys.iter().max()));
        if let Some(before) = &before {
            let after = read(path).map_or_else(HashSet::new, |it| it.keys.into_iter().collect());
            self.destroyed.extend(before.keys.iter().filter(|key| !after.contains(key)));
        }
        self.out_of_sight(before);
        true
    }

    /// Renames the directory of the logs.
    pub fn move_directory(&mut self) -> bool {
        let number = self.fresh();
        let to = self.places.top.join(format!("old-{number}"));
        let from = self.places.logs.clone();
        if !from.is_dir() || fs::rename(&from, &to).is_err() {
            return false;
        }
        for foreign in &mut self.foreign {
            if let Some(path) = &mut foreign.path
                && let Ok(rest) = path.strip_prefix(&from)
            {
                *path = to.join(rest);
            }
        }
        names(&to).iter().for_each(|path| self.taken_away(path));
        self.moved.push(to);
        true
    }

    /// Deletes a directory with everything in it, as often as services put something into it meanwhile.
    pub fn remove_directory(&mut self, dir: &Path, after: u64) -> bool {
        for _ in 0..200 {
            for path in names(dir) {
                self.delete(&path, after);
            }
            if fs::remove_dir(dir).is_ok() {
                return true;
            }
        }
        false
    }

    /// Whoever the service is, it may do everything in its directories again, and with its files.
    pub fn give_rights(&mut self) {
        let mut paths = vec![self.places.top.clone(), self.places.vault.clone()];
        paths.extend(self.homes());
        paths.extend(self.files());
        for path in paths {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_symlink() {
                continue;
            }
            let least = if metadata.is_dir() { 0o755 } else { 0o600 };
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & least != least {
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode | least));
            }
            if self.plan.nobody && metadata.uid() != NOBODY {
                let _ = std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY));
            }
        }
    }

    /// What cannot be a log or a lock stands at no name of theirs.
    pub fn clear_names(&mut self, after: u64) {
        if fs::symlink_metadata(&self.places.logs).is_ok_and(|metadata| !metadata.is_dir()) {
            fs::remove_file(&self.places.logs).expect("removed");
        }
        let mut all = vec![LOCK_OF_EVENTS.to_owned()];
        for name in self.plan.active_names() {
            let stem = name.trim_end_matches(".log").to_owned();
            all.extend([format!(".{stem}.lock"), name]);
        }
        for home in self.homes() {
            for name in &all {
                let path = home.join(name);
                if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                    self.delete(&path, after);
                }
            }
        }
    }

    /// Takes over what the services have said of archived segments.
    pub fn read_vault(&mut self) {
        for path in names(&self.places.vault) {
            if path.extension().is_some_and(|extension| extension == "part") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a note");
            if std::env::var_os("HOSTILE_TRACE").is_some() {
                eprintln!("    archived: {text}");
            }
            self.know(Content::of_text(&text).expect("a whole note"));
            fs::remove_file(&path).expect("removed");
        }
    }

    /// Before a service begins, which may set files aside, and delete what is too much, at once.
    pub fn know_segments(&mut self) {
        for path in self.files() {
            if self.foreign_at(&path).is_some() {
                continue;
            }
            if let Some(content) = read(&path) {
                self.know(content);
            }
        }
        self.hold_active();
    }

    /// Holds the active files: another writer can set them aside, and retention can delete them then, before anybody
    /// is told.
    pub fn hold_active(&mut self) {
        let names = self.plan.active_names();
        let homes = self.homes();
        let paths = homes.iter().flat_map(|home| names.iter().map(|name| home.join(name)));
        self.hold(paths.collect());
    }

    /// Holds all segments: of two writers each sets aside what the other one writes.
    pub fn hold_all(&mut self) {
        self.hold(self.files());
    }

    fn hold(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            let is_known = |file: &File| Some(identity_of(file)) == identity(&path);
            if self.foreign_at(&path).is_none()
                && read(&path).is_some()
                && !self.set_aside.iter().any(is_known)
            {
                self.set_aside.extend(File::open(&path));
            }
        }
    }

    /// A service that cannot read a segment any more reports an error, and no archived segment.
    pub fn know_of(&mut self, path: &Path) {
        if let Some(content) = read(path).filter(|_| self.foreign_at(path).is_none()) {
            self.know(content);
        }
    }

    pub fn know(&mut self, content: Content) {
        let segment = (content.log_id, content.segment);
        self.segments.insert(segment.clone());
        self.archived.entry(segment).or_default().extend(content.keys);
    }
}

/// The lock file of a manager.
pub const LOCK_OF_EVENTS: &str = ".asynclogger-events";
const GRAVEYARD: &str = ".graveyard";
