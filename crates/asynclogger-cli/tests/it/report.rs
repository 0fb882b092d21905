//! The page of `report`: what is on it, and that a browser shows it without anything else.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Place, numbers};

fn page(place: &Place, paths: &str) -> String {
    let run = place.run(&format!("report --output - {paths}"), "");
    assert!(matches!(run.code, 0 | 1 | 3), "{}", run.stderr);
    run.text()
}

/// Three files of a log with a damaged one and a gap, and an event with a hostile name.
fn logs(place: &Place) {
    for number in 1..=4 {
        place.write("app.log", numbers(2000));
        if number < 4 {
            place.archive(number);
        }
    }
    fs::remove_file(place.file(&place.archived(2))).unwrap();
    let damaged = place.file(&place.archived(3));
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[4096 + 100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let event = "<script>alert('1')</script>&\"\t";
    place.run("write --events events", format!("{event}one\n{event}two\n")).ends_with(0);
}

#[test]
fn the_page_has_the_figures() {
    let place = Place::new();
    logs(&place);
    let page = page(&place, ". events");
    for text in [
        "<title>Log report: ., events</title>",
        "Not whole: 1 place damaged, 1 segment missing",
        "<dt>Records</dt><dd>6,002</dd>",
        "<dt>Segments</dt><dd>4</dd>",
        "2 restarts",
        "1 damaged place",
        "1 gap of missing segments",
        "No record was dropped.",
        "<caption>Damaged places, by the metadata</caption>",
        "All times are UTC.",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert_eq!(page.matches("<svg viewBox=\"0 0 960").count(), 3);
    assert_eq!(page.matches("role=\"img\" aria-labelledby=").count(), 3);
    assert_eq!(page.matches("<desc id=").count(), 3);
    assert_eq!(page.matches("<table").count(), page.matches("<caption>").count());
    place.run("report --output - app.log", "").ends_with(0);
    place.run("report --output - .", "").ends_with(1);
    place.run("report --output - gone.log", "").ends_with(3);
}

/// What is wrong is said, and the exit code is that of `cat`.
#[test]
fn what_is_wrong_is_said() {
    let place = Place::new();
    logs(&place);
    let run = place.run("report --output - .", "").ends_with(1);
    assert!(
        run.stderr.contains(" at offset ") && run.stderr.contains("segments 2 to 2 are missing")
    );
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    // The last segment has a good start, and behind it a part of a later version.
    place.make_later("app.log");
    for (args, others) in [("app.log", 0), (".", 2)] {
        let cat = place.run(&format!("cat {args}"), "").ends_with(if others > 0 { 3 } else { 1 });
        let run = place.run(&format!("report --output - {args}"), "").ends_with(3);
        assert!(run.says("app.log").says("version 9").stderr.lines().count() == others + 1);
        assert!(cat.stderr.contains("version 9"), "{}", cat.stderr);
        assert!(page(&place, args).contains("1 file not read"));
    }
}

#[test]
fn names_are_text_whatever_they_are() {
    let place = Place::new();
    logs(&place);
    let name = b"a\xff\x1b[31m\n<img src=x onerror=alert(1)>'\".log";
    fs::copy(place.file("app.log"), place.file("copy.log")).unwrap();
    fs::rename(place.file("copy.log"), place.dir().join(OsStr::from_bytes(name))).unwrap();
    let mut command = place.command("report --output - events");
    let output = command.arg(OsStr::from_bytes(name)).output().unwrap();
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"), "{page}");
    let shown = "a\\xff\\x1b[31m\\x0a&lt;img src=x onerror=alert(1)&gt;&#39;&quot;.log";
    assert!(page.contains(&format!("<title>Log report: events, {shown}</title>")), "{page}");
    let is_plain = |char: char| !char.is_control() || char == '\n';
    assert!(page.chars().all(is_plain));
}

#[test]
fn a_page_replaces_a_page_and_nothing_else() {
    let place = Place::new();
    place.write("app.log", numbers(10));
    let log = fs::read(place.file("app.log")).unwrap();
    place.run("report app.log", "").ends_with(0).says("report.html: written");
    place.write("app.log", numbers(10));
    place.run("report app.log", "").ends_with(0);
    let page = fs::read_to_string(place.file("report.html")).unwrap();
    assert!(page.contains("<dt>Records</dt><dd>20</dd>"), "{page}");
    place.put("notes.html", b"<!doctype html>\n<p>mine");
    for file in ["app.log", "notes.html", "."] {
        place.run(&format!("report --output {file} app.log"), "").ends_with(2);
    }
    assert!(fs::read(place.file("app.log")).unwrap().starts_with(&log));
    assert_eq!(fs::read(place.file("notes.html")).unwrap(), b"<!doctype html>\n<p>mine");
    place.run("report --output no/page.html app.log", "").ends_with(3);
    let names = fs::read_dir(place.dir()).unwrap().map(|it| it.unwrap().file_name());
    let hidden = names.filter(|name| name.as_bytes().ends_with(b".part"));
    assert_eq!(hidden.count(), 0);
}

/// The page does not grow with the log: 20 sessions, and then the same bytes 32 times.
#[test]
fn many_sessions_make_no_large_page() {
    let place = Place::new();
    for _ in 0..20 {
        place.write("app.log", numbers(5));
    }
    let few = page(&place, "app.log");
    let mut file = fs::read(place.file("app.log")).unwrap();
    assert!(few.len() < 200_000, "{}", few.len());
    // The same file again and again: everything behind the first one is damage of 1,000 places and more.
    for _ in 0..5 {
        file.extend(file.clone());
    }
    place.put("long.log", &file);
    let many = page(&place, "long.log");
    assert!(many.len() < few.len() + 150_000, "{} {}", few.len(), many.len());
}

#[test]
fn an_empty_file_and_a_file_of_the_original_have_a_page() {
    let place = Place::new();
    place.put("empty.log", b"");
    assert!(page(&place, "empty.log").contains("These files have no times."));
    let mut original = vec![0; 512];
    original[..4].copy_from_slice(&512u32.to_le_bytes());
    original[4..8].copy_from_slice(&7u32.to_le_bytes());
    original[8..12].copy_from_slice(&3u32.to_le_bytes());
    original[12..15].copy_from_slice(b"abc");
    place.put("original.log", &original);
    let page = page(&place, "original.log");
    assert!(page.contains("1 record of the original") && page.contains("<dd>1</dd>"), "{page}");
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut all =
        std::env::split_paths(&path).flat_map(|directory| names.map(|name| directory.join(name)));
    let found = all.find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no Chromium in PATH");
    }
    found
}

/// What a browser without a network prints.
fn browse(browser: &Path, place: &Place, args: &[&str]) -> (String, String) {
    let data = tempfile::tempdir().expect("a directory");
    let output = Command::new("timeout")
        .arg("120")
        .arg(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--v=0",
            "--hide-scrollbars",
            "--window-size=1200,2400",
        ])
        .arg(format!("--user-data-dir={}", data.path().display()))
        .args(args)
        .arg(format!("file://{}", place.file("report.html").display()))
        .current_dir(place.dir())
        .output()
        .expect("it runs");
    let [out, err] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{err}");
    (out, err)
}

#[test]
fn a_browser_shows_the_page_in_light_and_dark() {
    let Some(browser) = browser() else { return };
    let place = Place::new();
    logs(&place);
    place.run("report . events", "").ends_with(1);
    let (dom, said) = browse(&browser, &place, &["--dump-dom"]);
    // What the page would load, or run, is refused by its own policy, and the console would say so.
    assert!(!said.contains("CONSOLE"), "{said}");
    for outside in
        ["http://", "https://", "<script", "<link", "<img", "<iframe", "url(", "@import", " src="]
    {
        assert!(!dom.contains(outside), "{outside} in {dom}");
    }
    for text in
        ["Log report", "Records per second", "2 restarts", "Damaged places", "&lt;script&gt;alert"]
    {
        assert!(dom.contains(text), "{text} is not in {dom}");
    }
    let shot = |name: &str, scheme: &str| {
        let path = place.file(name);
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let (_, said) =
            browse(&browser, &place, &[&scheme, &format!("--screenshot={}", path.display())]);
        assert!(!said.contains("CONSOLE"), "{said}");
        fs::read(path).expect("a picture")
    };
    let (dark, light) = (shot("dark.png", "0"), shot("light.png", "1"));
    assert!(dark.len() > 20_000 && light.len() > 20_000, "{} {}", dark.len(), light.len());
    assert_ne!(dark, light, "the page looks the same in light and dark");
}
