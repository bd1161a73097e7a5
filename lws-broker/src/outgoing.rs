//! Publications that wait for the broker. Bounded: what does not fit is given back.

use crate::{Full, Limits, Receipt, Topic};
use bytes::Bytes;
use std::collections::VecDeque;

/// Publications in their order.
pub(crate) struct Outgoing {
    waiting: VecDeque<(Receipt, Topic, Bytes)>,
    bytes: usize,
    last: u64,
    messages_max: usize,
    bytes_max: usize,
    payload_bytes_max: usize,
}

impl Outgoing {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            last: 0,
            messages_max: limits.publish_messages_max,
            bytes_max: limits.publish_bytes_max,
            payload_bytes_max: limits.payload_bytes_max,
        }
    }

    /// # Errors
    /// A limit is reached.
    pub(crate) fn push(&mut self, topic: &Topic, payload: Bytes) -> Result<Receipt, Full> {
        if payload.len() > self.payload_bytes_max {
            return Err(Full::Payload);
        }
        if self.waiting.len() >= self.messages_max {
            return Err(Full::Messages);
        }
        if self.bytes + payload.len() > self.bytes_max {
            return Err(Full::Bytes);
        }
        self.last += 1;
        self.bytes += payload.len();
        self.waiting.push_back((Receipt(self.last), topic.clone(), payload));
        Ok(Receipt(self.last))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<(Receipt, Topic, Bytes)> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.2.len();
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_limit_a_publication_is_accepted_and_one_past_it_is_not() {
        let limits = Limits {
            publish_messages_max: 3,
            publish_bytes_max: 20,
            payload_bytes_max: 15,
            ..Limits::default()
        };
        let topic = Topic::new("a").expect("a name");
        let payload = |len: usize| Bytes::from(vec![0; len]);
        for (lens, expected) in [
            (vec![1, 1, 1], Ok(Receipt(3))),
            (vec![1, 1, 1, 1], Err(Full::Messages)),
            (vec![10, 10], Ok(Receipt(2))),
            (vec![10, 11], Err(Full::Bytes)),
            (vec![15], Ok(Receipt(1))),
            (vec![16], Err(Full::Payload)),
        ] {
            let mut outgoing = Outgoing::new(&limits);
            let last = lens.iter().map(|len| outgoing.push(&topic, payload(*len))).last();
            assert_eq!(last, Some(expected), "{lens:?}");
            while outgoing.pop().is_some() {}
            assert_eq!(outgoing.bytes, 0);
        }
    }
}
