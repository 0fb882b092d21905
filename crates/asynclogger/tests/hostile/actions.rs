//! What the world does to a directory, by chance.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use crate::{
    chance::Chance,
    files::names,
    service::NOBODY,
    world::{LOCK_OF_EVENTS, World},
};

/// What is done to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Delete,
    Rename,
    RenameLikeArchived,
    MoveOut,
    MoveBack,
    Replace,
    ReplaceByLink,
    ReplaceByDirectory,
    Truncate,
    Overwrite,
    Append,
    HardLink,
    SymbolicLink,
    Loop,
    Copy,
    Mode,
    Owner,
    New,
    Directory,
}

const ACTS: [Act; 19] = [
    Act::Delete,
    Act::Rename,
    Act::RenameLikeArchived,
    Act::MoveOut,
    Act::MoveBack,
    Act::Replace,
    Act::ReplaceByLink,
    Act::ReplaceByDirectory,
    Act::Truncate,
    Act::Overwrite,
    Act::Append,
    Act::HardLink,
    Act::SymbolicLink,
    Act::Loop,
    Act::Copy,
    Act::Mode,
    Act::Owner,
    Act::New,
    Act::Directory,
];

/// What is done to one file, and whether the services have to stand still meanwhile.
#[derive(Clone, Debug)]
pub struct FileAct {
    act: Act,
    path: PathBuf,
    pub needs_rest: bool,
}

impl World {
    /// A name that a log could take or look at, with the name of one of the logs in it.
    fn name_of_ours(&mut self, chance: &mut Chance) -> String {
        let active = chance.pick(&self.plan.active_names()).expect("a name");
        let stem = active.trim_end_matches(".log");
        let time = format!(
            "2026-1{}-0{}_10-00-0{}",
            chance.below(2),
            1 + chance.below(9),
            chance.below(9)
        );
        match chance.below(8) {
            0 => active,
            1 => format!(".{stem}.next"),
            2 => format!(".{stem}.next.1"),
            3 if self.plan.manager => LOCK_OF_EVENTS.into(),
            3 => format!(".{stem}.lock"),
            4 => format!(".{stem}_{time}.log.zst.part"),
            5 => format!("{stem}_{time}.log.zst"),
            6 => format!("{stem}_{time}.1.log"),
            _ => format!("{stem}_{time}.log"),
        }
    }

    /// Chooses what is done to which file.
    pub fn choose(&mut self, chance: &mut Chance) -> Option<FileAct> {
        let homes = self.homes();
        let home = match chance.below(4) {
            0 => chance.pick(&homes)?,
            _ => homes.first()?.clone(),
        };
        let act = chance.pick(&ACTS)?;
        let path = match act {
            Act::New | Act::Directory | Act::Loop => home.join(self.name_of_ours(chance)),
            Act::MoveBack => chance.pick(&names(&self.attic()))?,
            _ => chance.pick(&names(&home))?,
        };
        let needs_rest = matches!(act, Act::Truncate | Act::Overwrite | Act::Append);
        Some(FileAct { act, path, needs_rest })
    }

    fn attic(&self) -> PathBuf {
        self.places.top.join("attic")
    }

    fn foreign_content(&mut self, chance: &mut Chance) -> Vec<u8> {
        let number = self.fresh();
        let text = format!("precious {number}\n");
        text.repeat(1 + chance.below(400) as usize).into_bytes()
    }

    /// Does it; `after` is the last command that was given before.
    pub fn act(&mut self, what: &FileAct, chance: &mut Chance, after: u64) -> bool {
        let FileAct { act, path, .. } = what;
        let home = path.parent().expect("a directory").to_owned();
        let number = self.fresh();
        let fresh = home.join(format!("w{number}.{}", ["log", "txt", "old"][number as usize % 3]));
        match act {
            Act::Delete => self.delete(path, after),
            Act::Rename => self.rename(path, &fresh),
            Act::RenameLikeArchived => {
                let name = self.name_of_ours(chance);
                self.rename(path, &home.join(name))
            }
            Act::MoveOut => {
                let attic = self.attic();
                fs::create_dir_all(&attic).expect("a directory");
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                self.rename(path, &attic.join(format!("{number}-{name}")))
            }
            Act::MoveBack => {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                let name = name.split_once('-').map_or(name.clone(), |(_, name)| name.to_owned());
                let to = self.places.logs.join(name);
                self.rename(path, &to)
            }
            Act::Replace => {
                let new = self.places.top.join(format!("new-{number}"));
                let content = self.foreign_content(chance);
                self.put_foreign(&new, &content) && self.replace(path, &new, after)
            }
            Act::ReplaceByLink => {
                let new = self.places.top.join(format!("new-{number}"));
                let to = chance.pick(&[PathBuf::from("nowhere"), fresh.clone()]).expect("a target");
                symlink(to, &new).is_ok() && self.replace(path, &new, after)
            }
            Act::ReplaceByDirectory => {
                let new = self.places.top.join(format!("new-{number}"));
                fs::create_dir(&new).is_ok() && self.replace(path, &new, after)
            }
            Act::Truncate => self.change(path, |file| {
                let len = file.metadata().expect("a file").len();
                file.set_len(chance.below(len + 1)).expect("cut");
            }),
            Act::Overwrite => self.change(path, |file| {
                let len = file.metadata().expect("a file").len();
                let garbage = vec![0x5A; 1 + chance.below(6000) as usize];
                // A full disk may refuse what lies behind the end.
                let _ = file.write_all_at(&garbage, chance.below(len + 1));
            }),
            Act::Append => self.change(path, |file| {
                let len = file.metadata().expect("a file").len();
                let _ = file.write_all_at(b"a line of somebody else\n", len);
            }),
            Act::HardLink => fs::hard_link(path, &fresh).is_ok(),
            Act::SymbolicLink => symlink(path, &fresh).is_ok(),
            Act::Loop => symlink(path.file_name().expect("a name"), path).is_ok(),
            Act::Copy => self.copy(path, &fresh),
            Act::Mode => {
                self.know_of(path);
                let mode = chance.pick(&[0, 0o400, 0o600, 0o444, 0o666]).expect("a mode");
                set_mode(path, mode)
            }
            Act::Owner => {
                self.know_of(path);
                chown(path, Some(chance.pick(&[0, NOBODY]).expect("one")), None).is_ok()
            }
            Act::New => {
                let content = self.foreign_content(chance);
                self.put_foreign(path, &content)
            }
            Act::Directory => fs::create_dir(path).is_ok(),
        }
    }

    /// A copy is a file of whoever made it.
    fn copy(&mut self, path: &Path, to: &Path) -> bool {
        let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let Some(bytes) = fs::read(path).ok().filter(|_| is_file) else { return false };
        self.put_foreign(to, &bytes)
    }

    /// Something happens to the directory of the logs as a whole.
    pub fn act_on_directory(&mut self, chance: &mut Chance, after: u64) -> (&'static str, bool) {
        let logs = self.places.logs.clone();
        match chance.below(8) {
            0 => ("the directory is moved", self.move_directory()),
            1 => {
                let is_done = self.move_directory();
                ("the directory is moved and made again", is_done && self.make_directory())
            }
            2 => ("the directory is removed", self.remove_directory(&logs, after)),
            3 => {
                let is_done = self.remove_directory(&logs, after);
                ("the directory is removed and made again", is_done && self.make_directory())
            }
            4 => {
                let away = self.places.away.clone();
                (
                    "the other directory is removed",
                    away.is_dir() && self.remove_directory(&away, after),
                )
            }
            5 => {
                let mode = chance.pick(&[0, 0o500, 0o555, 0o700]).expect("a mode");
                ("the mode of the directory", set_mode(&logs, mode))
            }
            6 => ("the owner of the directory", chown(&logs, Some(0), Some(0)).is_ok()),
            _ => ("all files are removed", {
                let deleted = names(&logs).iter().filter(|path| self.delete(path, after)).count();
                deleted > 0
            }),
        }
    }

    fn make_directory(&mut self) -> bool {
        let logs = self.places.logs.clone();
        let is_made = fs::create_dir(&logs).is_ok();
        if is_made && self.plan.nobody {
            let _ = chown(&logs, Some(NOBODY), Some(NOBODY));
        }
        is_made
    }

    /// Fills the disk but for some KiB; what the file system takes is known only in pieces.
    pub fn fill_disk(&mut self, chance: &mut Chance) {
        let path = self.places.top.join("filler");
        let file = fs::File::create(&path).expect("the filler");
        self.filler = Some(path);
        let mut at = 0;
        while file.write_at(&[0x5A; 4096], at).is_ok_and(|count| count == 4096) {
            at += 4096;
        }
        file.set_len(at - (at.min(4096 * chance.below(20)))).expect("shorter");
    }

    pub fn free_disk(&mut self) {
        if let Some(path) = self.filler.take() {
            let _ = fs::remove_file(path);
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> bool {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    !is_link && fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
}
