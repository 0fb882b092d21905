//! The shape of the source: which module may know which, sizes, what must not be there.

#[path = "tidy/imports.rs"]
mod imports;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use imports::Imports;

/// A module, and the top-level modules it may import. Lower never imports higher.
const MAY_IMPORT: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("sync", &["error"]),
    ("format", &["error"]),
    ("stats", &["format"]),
    ("config", &["error", "format"]),
    ("mem", &["error", "sync"]),
    ("locks", &["mem", "sync"]),
    ("io", &["config", "error", "format", "locks", "mem", "stats", "sync"]),
    ("probe", &["error", "format", "locks"]),
    ("write", &["config", "error", "format", "io", "locks", "mem", "probe", "stats", "sync"]),
    ("read", &["error", "format", "locks", "probe", "stats"]),
    ("fuzzing", &["error", "format", "probe", "read", "stats"]),
    ("logger", &["config", "error", "io", "stats", "sync", "write"]),
    ("manager", &["config", "error", "format", "io", "stats", "sync", "write"]),
    ("salvage", &["config", "error", "stats", "write"]),
    ("archive", &["error", "format", "io", "probe", "read", "write"]),
    ("integrations", &["error", "logger", "manager", "stats"]),
    (
        "lib",
        &[
            "archive",
            "config",
            "error",
            "format",
            "integrations",
            "logger",
            "manager",
            "read",
            "salvage",
            "stats",
        ],
    ),
];

/// The rooms of `write`, and those that each may import. `events` and `salvage` are above, `common` is below.
const WRITE_ROOMS: [(&str, &[&str]); 8] = [
    ("common", &[]),
    ("crash", &["common"]),
    ("swap", &["common", "crash"]),
    ("archive", &["common"]),
    ("segments", &["archive", "common", "crash"]),
    ("flush", &["archive", "common", "crash", "segments", "swap"]),
    ("salvage", &["archive", "common", "crash", "flush", "segments", "swap"]),
    ("events", &["archive", "common", "crash", "flush", "salvage", "segments", "swap"]),
];

/// What the crate's root exports, by the module it comes from.
const EXPORTED: [(&str, &[&str]); 8] = [
    ("archive", &["Archive", "ArchivedSegment", "Finished", "SegmentContent"]),
    (
        "config",
        &[
            "Archived",
            "Boundary",
            "Compression",
            "Config",
            "CrashSafe",
            "DirectIo",
            "Durability",
            "Engine",
            "Overflow",
            "Retention",
            "Rotation",
            "Timestamps",
            "WhenFull",
        ],
    ),
    ("error", &["Error", "ErrorKind", "LogError"]),
    ("format", &["LogId"]),
    ("logger", &["Logger", "RecordWriter"]),
    ("manager", &["EventLogger", "LoggerManager"]),
    ("salvage", &["Salvager"]),
    (
        "stats",
        &[
            "Dropped",
            "EngineKind",
            "ErrorCounts",
            "Histogram",
            "FlushMetrics",
            "Health",
            "IoMode",
            "LeftAlone",
            "ManagerStats",
            "MapInUse",
            "Opened",
            "Position",
            "Salvage",
            "Salvaged",
            "ShardStats",
            "Stats",
        ],
    ),
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn library() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 40, "the source was not found");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a file");
        (path.strip_prefix(&root).expect("below src").to_path_buf(), text)
    };
    found.into_iter().map(read).collect()
}

fn module_of(path: &Path) -> String {
    let first = path.components().next().expect("a component").as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The part of a file that is not its tests.
fn code(text: &str) -> &str {
    text.split("\nmod tests {").next().unwrap_or(text)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().contains("test"))
}

/// The names that follow `crate::` anywhere, also within braces.
fn imported(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        if text[line_start..at].trim_start().starts_with("//") {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(inner) = rest.strip_prefix('{') else {
            names.push(rest);
            continue;
        };
        let mut depth = 0;
        let mut item = 0;
        for (at, letter) in inner.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    names.push(&inner[item..at]);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.push(&inner[item..at]);
                    item = at + 1;
                }
                _ => {}
            }
        }
    }
    let word = |name: &str| {
        let name = name.trim_start();
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        name[..end].to_owned()
    };
    names.into_iter().map(word).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_know_only_what_is_below_them() {
    for (path, text) in library() {
        if is_test(&path) {
            continue;
        }
        let module = module_of(&path);
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module}: not in the table of modules"));
        for name in imported(code(&text)) {
            let exporter = EXPORTED.iter().find(|(_, names)| names.contains(&name.as_str()));
            let target = exporter.map_or(name.as_str(), |(module, _)| module);
            assert!(
                target == module || allowed.contains(&target),
                "{}: {module} may not import {target} ({name})",
                path.display()
            );
        }
    }
}

/// The code of the library without its tests, for its arrows.
fn arrows_of(library: &[(PathBuf, String)]) -> Imports {
    let plain = library.iter().filter(|(path, _)| !is_test(path));
    Imports::of(plain.map(|(path, text)| (path.as_path(), code(text))))
}

#[test]
fn the_rooms_of_write_know_only_what_is_below_them() {
    let library = library();
    let imports = arrows_of(&library);
    let room_of = |file: &str| {
        let inside = file.strip_prefix("write/")?;
        WRITE_ROOMS.iter().find(|(room, _)| inside.starts_with(&format!("{room}/")))
    };
    let mut found = BTreeSet::new();
    for (file, targets) in imports.arrows() {
        let Some((room, allowed)) = room_of(file) else {
            assert!(
                !file.starts_with("write/") || file == "write/mod.rs",
                "{file} is in no room of write"
            );
            continue;
        };
        for target in targets {
            let Some((other, _)) = room_of(target) else { continue };
            if other != room && !allowed.contains(other) {
                found.insert(format!("{file} imports {target}"));
            }
        }
    }
    assert!(found.is_empty(), "arrows that point up:\n{}", Vec::from_iter(found).join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let library = library();
    let imports = arrows_of(&library);
    let circles = imports.circles();
    assert!(circles.is_empty(), "circles of files: {circles:#?}");
}

#[test]
fn atomics_and_threads_are_named_in_sync_only() {
    for (path, text) in library() {
        if is_test(&path) || module_of(&path) == "sync" {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate() {
            let plain = line.trim_start();
            if plain.starts_with("//") {
                continue;
            }
            let allowed = line.contains("std::thread::Builder") || line.contains("NEXT_ID");
            for name in ["std::sync", "std::thread", "loom::"] {
                let outside = line.contains(name)
                    && !allowed
                    && module_of(&path) != "error"
                    && module_of(&path) != "config";
                assert!(!outside, "{}:{}: {name}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn system_calls_are_in_io_locks_and_mem_only() {
    for (path, text) in library() {
        let module = module_of(&path);
        // How to open a file without waiting is a flag, which std takes and does not name.
        let names_a_flag = path == Path::new("probe/regular.rs");
        if is_test(&path) || ["io", "locks", "mem"].contains(&module.as_str()) || names_a_flag {
            continue;
        }
        for name in ["rustix::", "libc::"] {
            assert!(!code(&text).contains(name), "{}: {name}", path.display());
        }
    }
}

#[test]
fn files_are_short_ascii_and_finished() {
    for (path, text) in library() {
        let lines = code(&text).lines().count();
        assert!(lines <= 520, "{}: {lines} lines", path.display());
        assert!(text.is_ascii(), "{}: not ASCII", path.display());
        for word in ["TODO", "FIXME", "XXX", "println!", "eprintln!"] {
            let found = code(&text)
                .lines()
                .any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(!found || is_test(&path), "{}: {word}", path.display());
        }
    }
}

/// Every `unsafe` block is preceded by its reason. (Clippy checks the blocks; this checks the places.)
#[test]
fn unsafe_is_where_it_is_allowed() {
    let allowed = [
        "mem/",
        "sync/model.rs",
        "io/at_exit.rs",
        "io/signals.rs",
        "io/uring/",
        "locks/calls.rs",
        "write/swap/buffer.rs",
        "write/swap/claim.rs",
        "write/swap/kept.rs",
        "write/swap/memory.rs",
        "write/swap/pool.rs",
        "write/swap/sealed.rs",
        "write/swap/shard.rs",
        "write/swap/shards.rs",
    ];
    for (path, text) in library() {
        if is_test(&path) {
            continue;
        }
        let place = path.to_string_lossy();
        let used = code(&text).lines().any(|line| {
            let plain = line.trim_start();
            !plain.starts_with("//")
                && (line.contains("unsafe {")
                    || line.contains("unsafe impl")
                    || line.contains("unsafe fn"))
        });
        assert!(!used || allowed.iter().any(|prefix| place.starts_with(prefix)), "{place}");
    }
}
