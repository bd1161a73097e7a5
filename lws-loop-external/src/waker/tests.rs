//! The waker with its real bell, and threads of the system.

use super::bell::Bell;
use super::mailbox::{Mailbox, SendError, Sender};

fn mailbox<T>(items_max: usize) -> Mailbox<T> {
    Mailbox::new(Bell::new().expect("a descriptor"), items_max)
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
    assert!(!mailbox.has_rung());
    let other = handle.clone();
    std::thread::spawn(move || (0..100).for_each(|n| send(&other, n).expect("room")))
        .join()
        .expect("no panic");
    handle.wake();
    handle.wake();
    assert!(mailbox.has_rung());
    let (woken, mut messages) = mailbox.take();
    assert!(woken);
    assert!(messages.drain(..).eq(0..100));
    mailbox.give_back(messages);
    assert!(!mailbox.has_rung());
    assert!(!mailbox.take().0);
}

#[test]
fn whoever_sleeps_on_the_bell_misses_no_message() {
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
        let mut bell = [PollFd::from_borrowed_fd(mailbox.bell().descriptor(), PollFlags::IN)];
        let patience = std::time::Duration::from_secs(20).try_into().expect("a short time");
        assert_eq!(poll(&mut bell, Some(&patience)), Ok(1), "after {received} messages");
        let (_, mut messages) = mailbox.take();
        received += messages.drain(..).count();
        mailbox.give_back(messages);
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
