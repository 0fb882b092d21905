//! Runs the command, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Run {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Run {
        assert!(self.stderr.contains(what), "no {what:?} in: {}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text")
    }

    /// One JSON value a line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// A directory that is gone after the test.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: TempDir::new().expect("a directory") }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts `bytes` into a new file.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    /// Name of the archived segment with this number.
    pub(crate) fn archived(&self, number: u32) -> String {
        format!("app_2026-01-01_00-00-{number:02}.log")
    }

    /// Gives `app.log` an archived name: whoever writes to `app.log` next begins the next segment.
    pub(crate) fn archive(&self, number: u32) {
        fs::rename(self.file("app.log"), self.file(&self.archived(number))).expect("renamed");
    }

    /// Compresses a file as docs/format.md has it, section 8; the original goes.
    pub(crate) fn compress(&self, name: &str) {
        let source = fs::read(self.file(name)).expect("a file");
        let mut compressor = zstd::bulk::Compressor::new(3).expect("zstd");
        let checksum = zstd::zstd_safe::CParameter::ChecksumFlag(true);
        compressor.set_parameter(checksum).expect("set");
        let (mut file, mut entries) = (Vec::new(), Vec::new());
        for content in source.chunks(2 << 20) {
            let frame = compressor.compress(content).expect("compressed");
            entries.extend((frame.len() as u32).to_le_bytes());
            entries.extend((content.len() as u32).to_le_bytes());
            file.extend(frame);
        }
        file.extend(0x184D_2A5E_u32.to_le_bytes());
        file.extend((entries.len() as u32 + 9).to_le_bytes());
        file.extend(&entries);
        file.extend((entries.len() as u32 / 8).to_le_bytes());
        file.push(0);
        file.extend(0x8F92_EAB1_u32.to_le_bytes());
        self.put(&format!(".{name}.zst"), &file);
        let hidden = self.file(&format!(".{name}.zst"));
        fs::rename(hidden, self.file(&format!("{name}.zst"))).expect("renamed");
        fs::remove_file(self.file(name)).expect("removed");
    }

    /// Makes the last part of a log one of a later version, which no command of today can read.
    pub(crate) fn make_later(&self, name: &str) {
        let mut bytes = fs::read(self.file(name)).expect("a file");
        let at = bytes.len() - 4096;
        let part = &mut bytes[at..];
        part[24..28].copy_from_slice(&9_u32.to_le_bytes());
        // CRC-32C of all but the place of the checksum.
        let crc = part[..12].iter().chain(&part[16..]).fold(u32::MAX, |crc, byte| {
            let step = |crc: u32, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
            (0..8).fold(crc ^ u32::from(*byte), step)
        });
        part[12..16].copy_from_slice(&(!crc).to_le_bytes());
        self.put(name, &bytes);
    }

    /// Runs `asynclogger` here with `args`, separated by blanks, and `input`.
    pub(crate) fn run(&self, args: &str, input: impl Into<Vec<u8>>) -> Run {
        let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_asynclogger"))
            .args(args.split_whitespace())
            .current_dir(self.dir())
            .write_stdin(input)
            .timeout(Duration::from_secs(120))
            .output()
            .expect("it runs");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command, to be started with pipes.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asynclogger"));
        command.args(args.split_whitespace()).current_dir(self.dir());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Logs `input` to `name`, which must work.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, input: impl Into<Vec<u8>>) -> Run {
        self.run(&format!("write {name}"), input).ends_with(0)
    }

    /// What `cat` prints of `name`, which must be whole.
    #[track_caller]
    pub(crate) fn cat(&self, name: &str) -> Vec<u8> {
        self.run(&format!("cat {name}"), "").ends_with(0).stdout
    }
}

/// `1` to `count`, a line each.
pub(crate) fn numbers(count: u64) -> String {
    (1..=count).map(|n| format!("{n}\n")).collect()
}
