//! What was published on a route and has not been read by all of its WebSockets, and where each of them is.
//!
//! One log for all, and a number for each who reads: a slow one costs nothing but its place. Knows no connection and no
//! other thread.

use crate::context::StreamId;
use lws_proto::ws::Prepared;
use std::collections::VecDeque;
use std::rc::Rc;

/// How much of what was published on a route waits for slow WebSockets, and what becomes of one that is further behind.
///
/// It holds for each thread. What waits here comes on top of
/// [`Limits::send_queue_bytes_max`](lws_proto::Limits::send_queue_bytes_max) of each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait at most. Default 1,024.
    pub messages_max: usize,
    /// Bytes of them at most. Default 4 MiB; the newest message waits whatever its size.
    pub bytes_max: usize,
    /// What becomes of a WebSocket that has not read what has to make room. Default [`Behind::Lose`].
    pub behind: Behind,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { messages_max: 1_024, bytes_max: 4 << 20, behind: Behind::Lose }
    }
}

/// What becomes of a WebSocket that is too far behind what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// It loses the oldest messages, and goes on with those that still wait.
    #[default]
    Lose,
    /// It is closed with code 1013, "try again later".
    Close,
}

/// The open WebSockets of one route, in places that do not move, and what was published to them.
pub(crate) struct Audience<I = StreamId> {
    places: Vec<Option<Member<I>>>,
    free: Vec<u32>,
    backlog: Backlog,
    /// The number of the oldest message that waits.
    first: u64,
    waiting: VecDeque<Item>,
    bytes: usize,
    /// What was published since a member looked.
    unseen: Unseen,
}

/// Messages that no member has looked at yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unseen {
    messages: usize,
    bytes: usize,
}

struct Member<I> {
    id: I,
    /// The number of the first message that it has not read.
    next: u64,
    /// It knows that there is something to read, and has not looked yet.
    told: bool,
    /// The last permit was spent on what was published: the next one is the handler's.
    served: bool,
}

struct Item {
    message: Rc<Prepared>,
    /// How many have not read it.
    unread: usize,
}

/// What a member reads next.
pub(crate) enum Next {
    Nothing,
    Message(Rc<Prepared>),
    /// So many messages have gone that it has not read.
    Lost(u64),
}

impl<I: Copy> Audience<I> {
    pub(crate) fn new(backlog: Backlog) -> Self {
        let (places, free, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { places, free, backlog, first: 0, waiting, bytes: 0, unseen: Unseen::default() }
    }

    pub(crate) fn behind(&self) -> Behind {
        self.backlog.behind
    }

    /// Its streams.
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> {
        self.places.iter().flatten().map(|member| member.id)
    }

    /// A WebSocket was established. Answers its place.
    pub(crate) fn join(&mut self, id: I) -> u32 {
        let member = Member { id, next: self.end(), told: false, served: false };
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(member);
                place
            }
            None => {
                self.places.push(Some(member));
                // There are no more than connections.
                (self.places.len() - 1) as u32
            }
        }
    }

    /// The WebSocket at `place` is over.
    pub(crate) fn leave(&mut self, place: u32) {
        let Some(member) = self.places.get_mut(place as usize).and_then(Option::take) else { return };
        self.free.push(place);
        let read = usize::try_from(member.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        for item in self.waiting.iter_mut().skip(read) {
            item.unread -= 1;
        }
        self.forget_read();
    }

    /// Keeps a message until all have read it, and answers who is to be told: each once until it looks.
    pub(crate) fn publish(&mut self, message: Prepared) -> Vec<(I, u32)> {
        let unread = self.places.len() - self.free.len();
        if unread == 0 {
            return Vec::new();
        }
        self.bytes += message.bytes().len();
        self.unseen.messages += 1;
        self.unseen.bytes += message.bytes().len();
        self.waiting.push_back(Item { message: Rc::new(message), unread });
        while self.waiting.len() > 1
            && (self.waiting.len() > self.backlog.messages_max || self.bytes > self.backlog.bytes_max)
        {
            self.forget_first();
        }
        let members = self.places.iter_mut().zip(0..);
        let telling = members.filter_map(|(member, place)| {
            let member = member.as_mut()?;
            (!std::mem::replace(&mut member.told, true)).then_some((member.id, place))
        });
        telling.collect()
    }

    /// Whether members should look before more is published, so that those who keep up lose nothing: a quarter of what may
    /// wait was published at once.
    pub(crate) fn is_rushed(&self) -> bool {
        self.unseen.messages > self.backlog.messages_max / 4 || self.unseen.bytes > self.backlog.bytes_max / 4
    }

    /// The member at `place` looks.
    pub(crate) fn look(&mut self, place: u32) {
        self.unseen = Unseen::default();
        if let Some(member) = self.member(place) {
            member.told = false;
        }
    }

    /// Whether there is something to read for the member at `place`, and the permit that it has is not its handler's.
    pub(crate) fn may_read(&mut self, place: u32) -> bool {
        let end = self.end();
        self.member(place).is_some_and(|member| member.next < end && !std::mem::take(&mut member.served))
    }

    /// Whether there is something to read for the member at `place`.
    pub(crate) fn has_news(&self, place: u32) -> bool {
        let member = self.places.get(place as usize).and_then(Option::as_ref);
        member.is_some_and(|member| member.next < self.end())
    }

    /// The member at `place` has got a permit for what was published.
    pub(crate) fn serve(&mut self, place: u32) {
        if let Some(member) = self.member(place) {
            member.served = true;
        }
    }

    /// What the member at `place` reads next. What has been lost is told once.
    pub(crate) fn next(&mut self, place: u32) -> Next {
        let first = self.first;
        let Some(member) = self.member(place) else { return Next::Nothing };
        if member.next < first {
            let lost = first - member.next;
            member.next = first;
            return Next::Lost(lost);
        }
        let index = member.next - first;
        let item = usize::try_from(index).ok().and_then(|index| self.waiting.get(index));
        item.map_or(Next::Nothing, |item| Next::Message(Rc::clone(&item.message)))
    }

    /// The member at `place` has read a message.
    pub(crate) fn advance(&mut self, place: u32) {
        let first = self.first;
        let Some(member) = self.member(place) else { return };
        let read = member.next;
        member.next += 1;
        let index = read.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(item) = index.and_then(|index| self.waiting.get_mut(index)) {
            item.unread -= 1;
        }
        self.forget_read();
    }

    fn member(&mut self, place: u32) -> Option<&mut Member<I>> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    fn end(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn forget_read(&mut self) {
        while self.waiting.front().is_some_and(|item| item.unread == 0) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(item) = self.waiting.pop_front() {
            self.bytes -= item.message.bytes().len();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::MessageKind;

    fn message(len: usize) -> Prepared {
        Prepared::new(MessageKind::Binary, vec![0; len])
    }

    /// An audience of `members`, whose streams nobody looks at.
    fn audience(backlog: Backlog, members: usize) -> Audience<()> {
        let mut audience = Audience::new(backlog);
        for place in 0..members {
            assert_eq!(audience.join(()), place as u32);
        }
        audience
    }

    fn read_all(audience: &mut Audience<()>, place: u32) -> (u64, u64) {
        let (mut read, mut lost) = (0, 0);
        loop {
            match audience.next(place) {
                Next::Nothing => return (read, lost),
                Next::Lost(count) => lost += count,
                Next::Message(_) => {
                    audience.advance(place);
                    read += 1;
                }
            }
        }
    }

    #[test]
    fn a_message_is_kept_until_the_last_has_read_it_or_has_gone() {
        let mut audience = audience(Backlog::default(), 3);
        for told in [3, 0] {
            assert_eq!(audience.publish(message(10)).len(), told, "each is told once until it looks");
        }
        assert_eq!(read_all(&mut audience, 0), (2, 0));
        assert_eq!(read_all(&mut audience, 2), (2, 0));
        assert_eq!((audience.waiting.len(), audience.bytes), (2, 20));
        audience.leave(1);
        assert_eq!((audience.waiting.len(), audience.bytes), (0, 0));
        assert_eq!(audience.join(()), 1, "its place is used again");
        assert_eq!(read_all(&mut audience, 1), (0, 0), "who comes later has not missed anything");
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let mut audience = audience(Backlog::default(), 0);
        assert!(audience.publish(message(10)).is_empty());
        assert_eq!(audience.waiting.len(), 0);
    }

    #[test]
    fn at_the_limit_nothing_is_lost_and_one_past_it_the_oldest_is() {
        let backlog = |messages_max, bytes_max| Backlog { messages_max, bytes_max, ..Backlog::default() };
        for (backlog, messages, lost) in [
            (backlog(4, 1_000), 4, 0),
            (backlog(4, 1_000), 5, 1),
            (backlog(100, 40), 4, 0),
            (backlog(100, 40), 5, 1),
            (backlog(0, 0), 3, 2),
        ] {
            let mut audience = audience(backlog, 1);
            (0..messages).for_each(|_| drop(audience.publish(message(10))));
            assert_eq!(read_all(&mut audience, 0), (messages - lost, lost), "{backlog:?}");
            assert_eq!(audience.bytes, 0);
        }
    }

    #[test]
    fn a_rush_is_what_no_member_has_looked_at() {
        let backlog = Backlog { messages_max: 8, bytes_max: 400, ..Backlog::default() };
        for (len, calm) in [(10, 2), (50, 2), (100, 1), (101, 0)] {
            let mut audience = audience(backlog, 1);
            for _ in 0..calm {
                audience.publish(message(len));
                assert!(!audience.is_rushed(), "{len} bytes");
            }
            audience.publish(message(len));
            assert!(audience.is_rushed(), "{len} bytes");
            audience.look(0);
            assert!(!audience.is_rushed(), "{len} bytes");
        }
    }

    #[test]
    fn one_that_is_behind_neither_stops_nor_costs_the_others() {
        let mut audience = audience(Backlog { messages_max: 2, ..Backlog::default() }, 2);
        for _ in 0..10 {
            audience.publish(message(10));
            assert_eq!(read_all(&mut audience, 0), (1, 0));
        }
        assert_eq!(audience.waiting.len(), 2);
        audience.leave(1);
        assert_eq!(audience.waiting.len(), 0);
    }
}
