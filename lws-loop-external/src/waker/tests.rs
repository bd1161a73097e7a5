//! The mailbox with its real descriptor, and threads of the system.

use super::mailbox::{Mailbox, SendError, Sender};
use super::notifier::Notifier;

fn mailbox<T>(items_max: usize) -> Mailbox<T> {
    Mailbox::new(Notifier::new().expect("a descriptor"), items_max)
}

/// Acknowledges and takes everything, as a notified service does.
fn take<T>(mailbox: &mut Mailbox<T>) -> (bool, Vec<T>) {
    mailbox.acknowledge();
    (mailbox.take_woken(), std::iter::from_fn(|| mailbox.take()).collect())
}

fn send<T>(sender: &Sender<T>, item: T) -> Result<(), SendError<T>> {
    sender.send(item, |item| item)
}

#[test]
fn a_full_mailbox_and_a_gone_service_give_the_message_back() {
    let mailbox = mailbox(2);
    let handle = mailbox.sender();
    assert_eq!(send(&handle, 'a'), Ok(()));
    assert_eq!(send(&handle, 'b'), Ok(()));
    assert_eq!(send(&handle, 'c'), Err(SendError::Full('c')));
    drop(mailbox);
    assert_eq!(send(&handle, 'd'), Err(SendError::Closed('d')));
}

#[test]
fn messages_keep_their_order_and_many_calls_are_one_notice() {
    let mut mailbox = mailbox(100);
    let handle = mailbox.sender();
    assert!(!mailbox.is_notified());
    let other = handle.clone();
    std::thread::spawn(move || (0..100).for_each(|n| send(&other, n).expect("room")))
        .join()
        .expect("no panic");
    handle.wake();
    handle.wake();
    assert!(mailbox.is_notified());
    let (woken, messages) = take(&mut mailbox);
    assert!(woken);
    assert!(messages.into_iter().eq(0..100));
    assert!(!mailbox.is_notified());
    assert!(!take(&mut mailbox).0);
}

#[test]
fn whoever_sleeps_on_the_descriptor_misses_no_message() {
    use rustix::event::{PollFd, PollFlags, poll};
    const THREADS: usize = 4;
    const MESSAGES: usize = 20_000;
    let mut mailbox = mailbox(THREADS * MESSAGES);
    let begin = |handle: Sender<usize>| {
        std::thread::spawn(move || (0..MESSAGES).for_each(|n| send(&handle, n).expect("room")))
    };
    let threads: Vec<_> = (0..THREADS).map(|_| begin(mailbox.sender())).collect();
    let mut received = 0;
    while received < THREADS * MESSAGES {
        let mut watched = [PollFd::from_borrowed_fd(mailbox.notifier().descriptor(), PollFlags::IN)];
        let patience = std::time::Duration::from_secs(20).try_into().expect("a short time");
        assert_eq!(poll(&mut watched, Some(&patience)), Ok(1), "after {received} messages");
        received += take(&mut mailbox).1.len();
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn a_message_that_holds_a_handle_ends_with_the_service() {
    struct Message(#[expect(dead_code, reason = "it is held, and that is all")] Option<Sender<Message>>);
    let mailbox = mailbox(2);
    let sender = mailbox.sender();
    assert!(send(&sender, Message(Some(sender.clone()))).is_ok());
    drop(mailbox);
    assert!(matches!(send(&sender, Message(None)), Err(SendError::Closed(_))));
}

#[test]
fn what_was_not_taken_keeps_its_order_and_its_place_in_the_limit() {
    let mut mailbox = mailbox(3);
    let handle = mailbox.sender();
    (0..3).for_each(|n| send(&handle, n).expect("room"));
    mailbox.acknowledge();
    assert_eq!((mailbox.take(), mailbox.has_more()), (Some(0), true));
    assert_eq!(send(&handle, 3), Ok(()));
    assert_eq!(send(&handle, 4), Err(SendError::Full(4)), "what was not taken counts");
    assert_eq!([mailbox.take(), mailbox.take()], [Some(1), Some(2)]);
    assert_eq!((mailbox.take(), mailbox.has_more()), (Some(3), false));
    assert_eq!(mailbox.take(), None);
}

#[test]
fn a_closed_mailbox_accepts_nothing_and_gives_out_what_it_has_accepted() {
    let mut mailbox = mailbox(5);
    let handle = mailbox.sender();
    send(&handle, 'a').expect("room");
    mailbox.close();
    assert_eq!(send(&handle, 'b'), Err(SendError::Closed('b')));
    assert!(handle.is_closed());
    assert!(!mailbox.is_over(), "something lies there");
    assert_eq!(mailbox.take(), Some('a'));
    mailbox.close();
    assert!(mailbox.is_over());
}
