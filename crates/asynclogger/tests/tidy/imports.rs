//! The imports of the source, as arrows from file to file.
//!
//! A re-export is followed to the file that defines the name: a room's face is no detour.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// A path of Rust, without `crate`.
pub(crate) type Names = Vec<String>;

/// Files by their module, and names that faces hand on.
pub(crate) struct Imports {
    files: BTreeMap<Names, String>,
    handed_on: BTreeMap<Names, Names>,
    used: BTreeMap<String, Vec<Names>>,
}

/// The module of a file below `src`.
pub(crate) fn module_of(path: &Path) -> Names {
    let mut names: Names = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    if names == ["lib"] {
        names.clear();
    }
    names
}

/// The words, braces and separators of a text, without its comments.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line);
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let len = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                len => len,
            };
            if !first.is_whitespace() {
                found.push(rest[..len].to_owned());
            }
            rest = &rest[len..];
        }
    }
    found
}

/// Takes a tree of imports apart, `tokens[at]` being the first behind `prefix`. Returned is the place behind it.
fn leaves(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(Names, String)>,
) -> usize {
    let mut names = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = leaves(tokens, at, &names, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some("self") if !prefix.is_empty() && names.len() == prefix.len() => {}
            Some(name) => names.push(name.to_owned()),
            None => return at,
        }
        at += 1;
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("as") => {
                found.push((names, tokens[at + 1].clone()));
                return at + 2;
            }
            _ => {
                let name = names.last().cloned().unwrap_or_default();
                found.push((names, name));
                return at;
            }
        }
    }
}

/// A path as it is written in `module`, from the root of the crate; `None` if it is another crate's.
fn absolute(names: &[String], module: &[String]) -> Option<Names> {
    let mut base = module.to_vec();
    let mut rest = names;
    match names.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return None,
    }
    base.extend_from_slice(rest);
    Some(base)
}

impl Imports {
    /// Of files and their code without tests, by their paths below `src`.
    pub(crate) fn of<'a>(sources: impl Iterator<Item = (&'a Path, &'a str)>) -> Imports {
        let mut imports =
            Imports { files: BTreeMap::new(), handed_on: BTreeMap::new(), used: BTreeMap::new() };
        for (path, text) in sources {
            let (module, file) = (module_of(path), path.display().to_string());
            imports.files.insert(module.clone(), file.clone());
            let tokens = tokens(text);
            let used = imports.used.entry(file).or_default();
            for (at, token) in tokens.iter().enumerate() {
                let starts = matches!(token.as_str(), "crate" | "self" | "super")
                    && tokens.get(at + 1).is_some_and(|next| next == "::")
                    && at.checked_sub(1).is_none_or(|before| tokens[before] != "::");
                if !starts {
                    continue;
                }
                let mut found = Vec::new();
                leaves(&tokens, at, &[], &mut found);
                let is_use = at > 0 && tokens[at - 1] == "use";
                let is_public = is_use && at > 1 && matches!(tokens[at - 2].as_str(), "pub" | ")");
                for (names, name) in found {
                    let Some(target) = absolute(&names, &module) else { continue };
                    if is_public {
                        let mut handed = module.clone();
                        handed.push(name);
                        imports.handed_on.insert(handed, target);
                    } else {
                        used.push(target);
                    }
                }
            }
        }
        imports
    }

    /// The file that defines what a path names.
    fn file_of(&self, names: &[String]) -> Option<&str> {
        let mut names = names.to_vec();
        // A name is handed on through as many faces as there are storeys.
        for _ in 0..8 {
            let handed = (1..=names.len()).rev().find_map(|len| {
                let target = self.handed_on.get(&names[..len])?;
                Some([target.as_slice(), &names[len..]].concat())
            });
            match handed {
                Some(target) if target != names => names = target,
                _ => break,
            }
        }
        let module = (1..=names.len()).rev().find_map(|len| self.files.get(&names[..len]));
        module.map(String::as_str)
    }

    /// The files that each file imports from.
    pub(crate) fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.used
            .iter()
            .map(|(file, used)| {
                let targets = used.iter().filter_map(|names| self.file_of(names));
                (file.as_str(), targets.filter(|target| target != file).collect())
            })
            .collect()
    }

    /// Files that import each other, directly or through others: each group with two files or more.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let arrows = self.arrows();
        let reach = |from: &str| {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = arrows[from].iter().copied().collect();
            while let Some(file) = next.pop() {
                if seen.insert(file) {
                    next.extend(arrows.get(file).into_iter().flatten());
                }
            }
            seen
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            arrows.keys().map(|file| (*file, reach(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, seen) in &reached {
            let mut circle: Vec<&str> = seen
                .iter()
                .copied()
                .filter(|other| reached.get(other).is_some_and(|back| back.contains(file)))
                .collect();
            circle.sort_unstable();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }
}
