//! Directories: what is opened, in which coding, and that nothing outside ever is.

use crate::support::{Scratch, lookup, read_all};
use lws_files::{Accepted, Coding, Directory, Entry, Fault, Links, Listing, Opened, Vfs, Wait};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn entry(directory: &Directory, names: &str, accepted: Accepted) -> Option<Entry> {
    match Vfs::open(directory, &lookup(names, accepted, Wait::Allowed)) {
        Ok(Opened::File(entry)) => Some(entry),
        Ok(Opened::NotHere) => None,
        other => panic!("{names}: {other:?}"),
    }
}

fn text(directory: &Directory, names: &str) -> Option<String> {
    let entry = entry(directory, names, Accepted::IDENTITY)?;
    Some(String::from_utf8(read_all(entry.content.body()).expect("it can be read")).expect("text"))
}

fn gzip_and_brotli() -> Accepted {
    Accepted::parse([&b"gzip, br"[..]])
}

#[test]
fn a_precompressed_sibling_has_its_own_tag_and_the_file_says_that_it_varies() {
    let root = Scratch::new("siblings");
    for (name, text) in [("a.js", "identity"), ("a.js.gz", "gzip"), ("b.js", "alone"), ("c.js.br", "orphan")]
    {
        root.write(name, text);
    }
    let directory = Directory::open(root.path()).expect("it is there");
    let identity = entry(&directory, "a.js", Accepted::IDENTITY).expect("it is there");
    let coded = entry(&directory, "a.js", gzip_and_brotli()).expect("it is there");
    assert_eq!((identity.coding, coded.coding), (Coding::Identity, Coding::Gzip));
    assert_eq!(read_all(coded.content.body()).expect("it can be read"), b"gzip");
    assert!(identity.varies && coded.varies && identity.tag != coded.tag);
    let alone = entry(&directory, "b.js", gzip_and_brotli()).expect("it is there");
    assert!(alone.coding == Coding::Identity && alone.varies);
    assert!(entry(&directory, "c.js", gzip_and_brotli()).is_none(), "a sibling of nothing");
    let prefers_identity = Accepted::parse([&b"identity, gzip;q=0.5"[..]]);
    assert_eq!(entry(&directory, "a.js", prefers_identity).expect("it is there").coding, Coding::Identity);
    let without = directory.siblings(false);
    let plain = entry(&without, "a.js", gzip_and_brotli()).expect("it is there");
    assert!(plain.coding == Coding::Identity && !plain.varies);
}

#[test]
fn links_are_followed_as_far_as_the_policy_says() {
    let root = Scratch::new("links");
    let outside = Scratch::new("outside");
    outside.write("secret", "secret");
    root.write("dir/file", "inside");
    let link = |to: &Path, name: &str| symlink(to, root.path().join(name)).expect("a link");
    link(Path::new("dir/file"), "inside");
    link(Path::new("dir"), "dir-link");
    link(&root.path().join("dir/file"), "absolute");
    link(&outside.path().join("secret"), "out");
    link(outside.path(), "out-dir");
    link(Path::new("loop"), "loop");
    let open = |links| Directory::open(root.path()).expect("it is there").links(links);
    let names = ["dir/file", "inside", "dir-link/file", "absolute", "out", "out-dir/secret", "loop"];
    for (links, expected) in [
        (Links::Inside, [Some("inside"), Some("inside"), Some("inside"), Some("inside"), None, None, None]),
        (Links::Refused, [Some("inside"), None, None, None, None, None, None]),
        (
            Links::Followed,
            [
                Some("inside"),
                Some("inside"),
                Some("inside"),
                Some("inside"),
                Some("secret"),
                Some("secret"),
                None,
            ],
        ),
    ] {
        let directory = open(links);
        for (names, expected) in names.iter().zip(expected) {
            assert_eq!(text(&directory, names).as_deref(), expected, "{links:?} {names}");
        }
        for names in ["..", "../outside", "dir/..", "/etc/passwd", "dir//file", "./dir/file", "dir/file/"] {
            assert_eq!(text(&directory, names), None, "{links:?} {names}");
        }
    }
}

#[test]
fn only_regular_files_are_opened_and_others_are_not_waited_for() {
    let root = Scratch::new("special");
    root.write("dir/file", "x");
    let fifo = root.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    symlink("/dev/null", root.path().join("null")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).expect("a socket");
    let directory = Directory::open(root.path()).expect("it is there").links(Links::Followed);
    for names in ["fifo", "null", "socket", "dir/file/x", &"n".repeat(300)] {
        assert_eq!(text(&directory, names), None, "{names}");
    }
    let opened = Vfs::open(&directory, &lookup("dir", Accepted::IDENTITY, Wait::Allowed));
    assert!(matches!(opened, Ok(Opened::Directory)));
}

#[test]
fn what_is_in_memory_is_opened_and_read_without_waiting() {
    let root = Scratch::new("cached");
    root.write("small", "small");
    root.write("large", "l".repeat(100_000));
    let directory = Directory::open(root.path()).expect("it is there");
    for names in ["small", "large"] {
        let warm = entry(&directory, names, gzip_and_brotli()).expect("it is there");
        read_all(warm.content.body()).expect("it can be read");
        match Vfs::open(&directory, &lookup(names, gzip_and_brotli(), Wait::Never)) {
            Ok(Opened::File(entry)) => {
                assert_eq!(entry.tag, warm.tag);
                assert_eq!(entry.content.len(), warm.content.len());
            }
            // Another file system, or another kernel: then it says so, and the pool is asked.
            Ok(Opened::WouldBlock) => {}
            other => panic!("{names}: {other:?}"),
        }
    }
}

#[test]
fn a_changed_file_has_another_tag_and_old_times_are_no_validators() {
    let root = Scratch::new("tags");
    root.write("a", "one");
    let directory = Directory::open(root.path()).expect("it is there");
    let first = entry(&directory, "a", Accepted::IDENTITY).expect("it is there");
    assert!(first.modified.is_some() && first.tag.as_ref().is_some_and(|tag| !tag.is_weak()));
    // The same length, and the modification time of the epoch: only the change time tells.
    thread::sleep(Duration::from_millis(20));
    root.write("a", "two");
    let file = fs::File::options().write(true).open(root.path().join("a")).expect("it is there");
    file.set_modified(std::time::UNIX_EPOCH).expect("it is ours");
    let second = entry(&directory, "a", Accepted::IDENTITY).expect("it is there");
    assert_ne!(first.tag, second.tag);
    assert_eq!(second.modified, None);
}

#[test]
fn what_the_system_forbids_is_a_fault() {
    let root = Scratch::new("forbidden");
    root.write("a", "a");
    fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o000)).expect("it is ours");
    let directory = Directory::open(root.path()).expect("it is there");
    let opened = Vfs::open(&directory, &lookup("a", Accepted::IDENTITY, Wait::Allowed));
    // Root may read everything.
    assert!(matches!(opened, Err(Fault::Forbidden) | Ok(Opened::File(_))), "{opened:?}");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_in_an_error_and_one_that_grows_is_cut() {
    let root = Scratch::new("shrinks");
    root.write("a", "a".repeat(200_000));
    let directory = Directory::open(root.path()).expect("it is there");
    let entry = entry(&directory, "a", Accepted::IDENTITY).expect("it is there");
    let body = entry.content.body();
    root.append("a", "more");
    assert_eq!(read_all(body).expect("it can be read").len(), 200_000);
    let body = entry.content.body();
    fs::File::options()
        .write(true)
        .open(root.path().join("a"))
        .and_then(|file| file.set_len(10))
        .expect("ours");
    assert_eq!(read_all(body).map_err(|error| error.kind()), Err(std::io::ErrorKind::UnexpectedEof));
}

#[test]
fn a_listing_has_what_would_be_served() {
    let root = Scratch::new("listing");
    root.write("a", "aaa");
    root.write("dir/b", "b");
    symlink("a", root.path().join("link")).expect("a link");
    symlink("/etc", root.path().join("out")).expect("a link");
    let directory = Directory::open(root.path()).expect("it is there");
    let list = |names, max, wait| directory.list(&lookup(names, Accepted::IDENTITY, wait), max);
    assert_eq!(list("", 9, Wait::Never), Ok(Listing::WouldBlock));
    let Ok(Listing::Names(mut names, false)) = list("", 9, Wait::Allowed) else {
        panic!("it is a directory")
    };
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = names.iter().map(|name| (&*name.name, name.directory, name.len)).collect();
    assert_eq!(names, [("a", false, 3), ("dir", true, 0), ("link", false, 3)]);
    assert!(matches!(list("", 1, Wait::Allowed), Ok(Listing::Names(names, true)) if names.len() == 1));
    for names in ["a", "none", "out", "../"] {
        assert_eq!(list(names, 9, Wait::Allowed), Ok(Listing::NotHere), "{names}");
    }
}

/// A thread swaps a directory for a link to the outside, again and again, while others open a file below it.
#[test]
fn nothing_outside_is_served_while_a_directory_is_swapped_for_a_link() {
    let root = Scratch::new("storm");
    let outside = Scratch::new("storm-outside");
    outside.write("file", "outside");
    root.write("real/file", "inside");
    symlink(outside.path(), root.path().join("link")).expect("a link");
    let over = Arc::new(AtomicBool::new(false));
    let swaps = thread::spawn({
        let (over, path) = (Arc::clone(&over), root.path().to_owned());
        move || {
            let rename = |from: &str, to: &str| fs::rename(path.join(from), path.join(to)).expect("ours");
            let mut swaps = 0_u32;
            while !over.load(Ordering::Relaxed) {
                rename("real", "dir");
                rename("dir", "real");
                rename("link", "dir");
                rename("dir", "link");
                swaps += 1;
            }
            swaps
        }
    });
    let inside = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_millis(1500);
    thread::scope(|scope| {
        for links in [Links::Inside, Links::Refused] {
            let directory = Directory::open(root.path()).expect("it is there").links(links);
            let inside = &inside;
            scope.spawn(move || {
                while Instant::now() < end {
                    for wait in [Wait::Never, Wait::Allowed] {
                        match Vfs::open(&directory, &lookup("dir/file", gzip_and_brotli(), wait)) {
                            Ok(Opened::File(entry)) => {
                                let text = read_all(entry.content.body()).expect("it can be read");
                                assert_eq!(text, b"inside", "{links:?} {wait:?}");
                                inside.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(Opened::NotHere | Opened::WouldBlock) | Err(Fault::Failed(_)) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    over.store(true, Ordering::Relaxed);
    let swaps = swaps.join().expect("it ends");
    assert!(swaps > 10 && inside.into_inner() > 10, "there was a storm");
}
