//! Every interleaving of what the threads of a program share: the mailbox with its notifier, and the quotas of the shards.
//!
//! The files under test are those of `lws-loop-external`, on the primitives of `loom`. A wake-up that can be lost shows
//! as a thread that sleeps for ever, which loom reports as a deadlock with the steps that led to it.

#[expect(dead_code, unreachable_pub, reason = "a model does not need everything, and has no users")]
#[path = "../../lws-loop-external/src/waker/mailbox.rs"]
mod mailbox;
mod notifier;
#[expect(dead_code, reason = "a model does not need everything")]
#[path = "../../lws-loop-external/src/shards/quotas.rs"]
mod quotas;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use loom::thread;
use mailbox::{Mailbox, SendError, Sender};
use notifier::Notifier;
use quotas::Quotas;
use sync::Arc;

/// Every interleaving in which a thread is taken off its processor, where it could go on, three times at most: what more of
/// them find is rare, and takes hours.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Sleeps until the service is notified, as a host does between its turns, and then looks.
fn wait_and_take(mailbox: &mut Mailbox<u32>) -> (bool, Vec<u32>) {
    mailbox.notifier().sleep();
    take(mailbox)
}

fn take(mailbox: &mut Mailbox<u32>) -> (bool, Vec<u32>) {
    mailbox.acknowledge();
    (mailbox.take_woken(), std::iter::from_fn(|| mailbox.take()).collect())
}

fn send(sender: &Sender<u32>, item: u32) {
    assert_eq!(sender.send(item, |item| item), Ok(()));
}

#[test]
fn whoever_sleeps_on_the_notifier_gets_every_message_of_two_senders() {
    explore(|| {
        let mut mailbox = Mailbox::new(Notifier::new(), 8);
        let senders: Vec<_> = (1..=2)
            .map(|item| {
                let sender = mailbox.sender();
                thread::spawn(move || send(&sender, item))
            })
            .collect();
        let mut received = Vec::new();
        while received.len() < 2 {
            received.extend(wait_and_take(&mut mailbox).1);
        }
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        received.sort_unstable();
        assert_eq!(received, [1, 2], "each once");
        assert!(mailbox.notifier().notices() <= 2, "no more often than there was a reason to");
    });
}

#[test]
fn messages_of_one_sender_come_in_their_order_with_another_beside_it() {
    explore(|| {
        let mut mailbox = Mailbox::new(Notifier::new(), 8);
        let (first, second) = (mailbox.sender(), mailbox.sender());
        let first = thread::spawn(move || (1..=2).for_each(|item| send(&first, item)));
        let second = thread::spawn(move || second.wake());
        let (mut received, mut woken) = (Vec::new(), false);
        while received.len() < 2 || !woken {
            let (now_woken, now_received) = wait_and_take(&mut mailbox);
            assert!(!(woken && now_woken), "woken once");
            woken |= now_woken;
            received.extend(now_received);
        }
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(received, [1, 2]);
    });
}

#[test]
fn a_host_that_looks_before_it_sleeps_misses_nothing_either() {
    explore(|| {
        let mut mailbox = Mailbox::new(Notifier::new(), 8);
        let (sender, waker) = (mailbox.sender(), mailbox.sender());
        let sender = thread::spawn(move || send(&sender, 7));
        let waker = thread::spawn(move || waker.wake());
        let (mut received, mut woken) = (Vec::new(), false);
        while received.is_empty() || !woken {
            // A turn begins with a look without a system call. Only one without success leads to sleep.
            let (now_woken, now_received) =
                if mailbox.is_notified() { take(&mut mailbox) } else { wait_and_take(&mut mailbox) };
            woken |= now_woken;
            received.extend(now_received);
        }
        sender.join().expect("no panic");
        waker.join().expect("no panic");
        assert_eq!(received, [7]);
    });
}

#[test]
fn what_was_sent_is_received_or_given_back_when_the_service_goes() {
    explore(|| {
        let mailbox = Mailbox::new(Notifier::new(), 8);
        let token = Arc::new(());
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (sender, token) = (mailbox.sender(), Arc::clone(&token));
                thread::spawn(move || {
                    let given_back = sender.send(token, |token| token);
                    assert!(matches!(given_back, Ok(()) | Err(SendError::Closed(_))));
                    // Kept until the test has looked: nothing may be stranded behind it.
                    drop(given_back);
                    sender
                })
            })
            .collect();
        drop(mailbox);
        let senders: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("no panic")).collect();
        assert_eq!(Arc::strong_count(&token), 1, "a message lies in a queue that is never read again");
        drop(senders);
    });
}

#[test]
fn what_was_accepted_before_the_mailbox_closed_is_taken() {
    explore(|| {
        let mut mailbox = Mailbox::new(Notifier::new(), 8);
        let senders: Vec<_> = (1..=2)
            .map(|item| {
                let sender = mailbox.sender();
                thread::spawn(move || sender.send(item, |item: u32| item).is_ok())
            })
            .collect();
        mailbox.close();
        let mut taken = 0;
        while !mailbox.is_over() {
            taken += usize::from(mailbox.take().is_some());
        }
        let accepted = senders.into_iter().map(|sender| sender.join().expect("no panic"));
        assert_eq!(accepted.filter(|accepted| *accepted).count(), taken);
    });
}

#[test]
fn an_acceptor_that_found_every_place_taken_is_notified_of_the_next_one() {
    explore(|| {
        let (quotas, notifier) = (Arc::new(Quotas::new(2, 1)), Arc::new(Notifier::new()));
        assert_eq!((quotas.reserve(0, 0), quotas.reserve(0, 0)), (Some(0), Some(1)));
        let leavers: Vec<_> = (0..2)
            .map(|shard| {
                let (quotas, notifier) = (Arc::clone(&quotas), Arc::clone(&notifier));
                thread::spawn(move || {
                    if quotas.give_back(shard) {
                        notifier.notify();
                    }
                })
            })
            .collect();
        while quotas.reserve(0, 0).is_none() {
            if quotas.wait(None) {
                notifier.sleep();
                notifier.acknowledge();
            }
        }
        leavers.into_iter().for_each(|leaver| leaver.join().expect("no panic"));
        assert_eq!(quotas.taken(0) + quotas.taken(1), 1);
    });
}

#[test]
fn two_acceptors_never_take_more_places_than_there_are() {
    explore(|| {
        let quotas = Arc::new(Quotas::new(2, 1));
        quotas.take(0);
        let acceptors: Vec<_> = (0..2)
            .map(|first| {
                let quotas = Arc::clone(&quotas);
                thread::spawn(move || quotas.reserve(first, 0))
            })
            .collect();
        let mut places: Vec<_> =
            acceptors.into_iter().map(|acceptor| acceptor.join().expect("no panic")).collect();
        places.sort_unstable();
        assert_eq!(places, [None, Some(1)]);
    });
}
