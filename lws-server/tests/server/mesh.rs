//! Topics that servers of one machine share without a broker, by sockets in a folder.

use crate::broker::{ask, first, process, reporting, text};
use crate::common::{Peer, Running};
use lws_server::broker::{BrokerOptions, MeshOptions, PresenceOptions};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use test_kit::eventually;

/// A folder of its own, which is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lws-server-mesh-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The processes that are in it, by their sockets.
    fn sockets(&self) -> usize {
        fs::read_dir(&self.0).map_or(0, Iterator::count)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(folder: &Path) -> BrokerOptions {
    let mesh = MeshOptions { scan_interval: Duration::from_millis(50), ..MeshOptions::default() };
    reporting(BrokerOptions::mesh("shared/", folder, mesh))
}

fn start(folder: &Folder, threads: usize) -> Running {
    process(options(&folder.0), threads)
}

/// Publishes again and again until another process has it: from then on it has what follows.
fn until_heard(peer: &mut Peer, other: &mut Peer) {
    let mut count = 0;
    eventually(|| {
        count += 1;
        ask(peer, &format!("! shared/a warm {count}"));
        other.0.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        other.0.peek(&mut [0]).is_ok()
    });
    other.0.set_read_timeout(Some(test_kit::PATIENCE)).expect("a timeout");
    // What was said meanwhile.
    ask(peer, "! shared/a warm is over");
    while other.text() != "warm is over" {}
}

/// Says something in one process, which the members elsewhere receive, once and next.
fn say(speaker: &Running, said: &str, members: &mut [&mut Peer]) {
    speaker.handle.publish_topic("shared/a", &text(said)).expect("room");
    for member in members {
        assert_eq!(member.text(), said);
    }
}

#[test]
fn processes_of_one_folder_share_topics_and_one_that_is_replaced_leaves_no_gap() {
    let folder = Folder::new("replaced");
    let (old, stays) = (start(&folder, 1), start(&folder, 3));
    eventually(|| folder.sockets() == 2);
    let (mut here, mut there) = (first(&stays, "shared/a"), first(&old, "shared/a"));
    say(&stays, "from the one that stays", &mut [&mut here, &mut there]);
    say(&old, "from the one that goes", &mut [&mut here, &mut there]);
    // Its successor is there before it ends.
    let new = start(&folder, 2);
    let mut beyond = first(&new, "shared/a");
    say(&new, "from the new one", &mut [&mut here, &mut there, &mut beyond]);
    for number in 0..500 {
        old.handle.publish_topic("shared/a", &text(&number.to_string())).expect("room");
    }
    old.handle.drain();
    for number in 0..500 {
        let number = number.to_string();
        assert_eq!((here.text(), beyond.text()), (number.clone(), number), "behind it there is no gap");
    }
    drop(there);
    old.join();
    assert_eq!(folder.sockets(), 2);
    say(&new, "after it", &mut [&mut here, &mut beyond]);
    say(&stays, "and back", &mut [&mut here, &mut beyond]);
}

#[test]
fn one_that_is_stopped_leaves_in_order_or_there_is_a_gap() {
    let folder = Folder::new("cut");
    let (old, stays) = (start(&folder, 2), start(&folder, 1));
    eventually(|| folder.sockets() == 2);
    let mut here = first(&stays, "shared/a");
    let mut there = first(&old, "shared/a");
    say(&old, "hello", &mut [&mut here, &mut there]);
    // It says that it leaves if its loop has a turn for that. `lws-broker` has the test of one that has none.
    drop(old);
    eventually(|| folder.sockets() == 1);
    stays.handle.publish_topic("shared/a", &text("behind it")).expect("room");
    let next = here.text();
    assert!(next == "behind it" || next == "gap" && here.text() == "behind it", "{next}");
}

#[test]
fn a_folder_that_others_may_enter_is_not_used_until_that_is_mended() {
    let folder = Folder::new("open");
    DirBuilder::new().mode(0o755).create(&folder.0).expect("a folder");
    let process = start(&folder, 1);
    let (mut peer, _) = process.open("/", "");
    assert_eq!(ask(&mut peer, "+ shared/a"), "<Ok(())");
    assert_eq!(folder.sockets(), 0);
    fs::set_permissions(&folder.0, Permissions::from_mode(0o700)).expect("its owner may");
    assert_eq!(peer.text(), "subscribed");
    say(&process, "hello", &mut [&mut peer]);
    assert_eq!(folder.sockets(), 1);
}

#[test]
fn a_server_that_retires_goes_when_its_other_connections_have_gone() {
    let folder = Folder::new("retired");
    // Of one thread, which no other wakes.
    let (old, stays) = (start(&folder, 1), start(&folder, 1));
    let (mut here, mut there) = (first(&stays, "shared/a"), first(&old, "shared/a"));
    until_heard(&mut here, &mut there);
    old.handle.retire(test_kit::PATIENCE * 2);
    // It serves those who are there.
    let mut said = String::new();
    while said != "until the end" {
        ask(&mut there, "! shared/a until the end");
        said = here.text();
    }
    drop(there);
    old.join();
    assert_eq!(folder.sockets(), 1);
}

fn with_presence(folder: &Folder, threads: usize, interval: Duration) -> Running {
    let change_delay = Duration::from_millis(10);
    let presence = PresenceOptions { interval, change_delay, ..PresenceOptions::default() };
    let mut options = options(&folder.0);
    options.presence = Some(presence);
    process(options, threads)
}

/// Asks who is in a room until that is the answer.
fn until_present(peers: &mut [&mut Peer], expected: &str) {
    for peer in peers {
        let mut answer = String::new();
        eventually(|| {
            answer = ask(peer, "# room");
            answer == expected
        });
    }
}

#[test]
fn each_process_knows_who_is_where_in_all_and_forgets_those_that_ended_or_crashed() {
    let folder = Folder::new("presence");
    let long = Duration::from_secs(3_600);
    let (stays, ends) = (with_presence(&folder, 3, long), with_presence(&folder, 1, long));
    let [mut a, mut b] = std::array::from_fn(|_| stays.open("/", "").0);
    let [mut c, mut d] = std::array::from_fn(|_| ends.open("/", "").0);
    for (peer, said) in
        [(&mut a, "@ room Ann"), (&mut b, "@ room"), (&mut c, "@ room Cem"), (&mut d, "@ room Ann")]
    {
        assert_eq!(ask(peer, said), "<Ok(())");
    }
    until_present(&mut [&mut a, &mut b, &mut c, &mut d], "<4 Ann Cem");
    // Joining again is another text, and not another one.
    assert_eq!(ask(&mut d, "@ room Dan"), "<Ok(())");
    until_present(&mut [&mut a, &mut d], "<4 Ann Cem Dan");
    assert_eq!((ask(&mut c, "~ room"), ask(&mut c, "~ room")), ("<true".into(), "<false".into()));
    assert_eq!(ask(&mut c, "@ room a\tb"), "<Err(Presence(Member))");
    drop(b);
    until_present(&mut [&mut a, &mut c, &mut d], "<2 Ann Dan");
    // One that begins later learns of all, one that ends has no one at once.
    let crashes = with_presence(&folder, 2, Duration::from_millis(300));
    let (mut e, _) = crashes.open("/", "");
    assert_eq!(ask(&mut e, "@ room Eve"), "<Ok(())");
    until_present(&mut [&mut a, &mut d, &mut e], "<3 Ann Dan Eve");
    ends.handle.drain();
    drop((c, d));
    ends.join();
    until_present(&mut [&mut a, &mut e], "<2 Ann Eve");
    // One that crashes says nothing: what it announced has the time to live of three of its intervals.
    drop(crashes);
    until_present(&mut [&mut a], "<1 Ann");
}

#[test]
fn without_presence_nobody_can_join() {
    let folder = Folder::new("absent");
    let process = start(&folder, 1);
    let (mut peer, _) = process.open("/", "");
    assert_eq!(ask(&mut peer, "@ room Ann"), "<Err(NoPresence)");
    assert_eq!(ask(&mut peer, "# room"), "<0 ");
}
