//! The upstream's side of an exchange: what the client of the thread receives, and what it can send.

use crate::relay::Relay;
use lws_server::Payload;
use lws_server::client::{Context, Failure, Fields, Reply, ResponseHead, Timings, Upload, Waker};
use std::cell::RefCell;
use std::rc::Rc;

/// Puts what an upstream answers where the client's side takes it.
pub(crate) struct FromUpstream {
    relay: Rc<RefCell<Relay>>,
    front: Waker,
}

impl FromUpstream {
    pub(crate) fn new(relay: Rc<RefCell<Relay>>, front: Waker) -> Self {
        Self { relay, front }
    }
}

impl Reply for FromUpstream {
    fn interim(&mut self, _: &mut Context<'_>, head: &ResponseHead) {
        // 100 is said by each hop for itself, as each decides for itself when it takes content.
        if head.status.code() != 100 {
            self.relay.borrow_mut().down.push_interim(head);
            self.front.wake();
        }
    }

    fn head(&mut self, _: &mut Context<'_>, head: ResponseHead) {
        self.relay.borrow_mut().down.head = Some(head);
        self.front.wake();
    }

    fn body(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) {
        let down = &mut self.relay.borrow_mut().down;
        down.flow.push(chunk);
        if down.flow.is_full() && !down.paused {
            down.paused = true;
            cx.pause();
        }
        self.front.wake();
    }

    fn trailers(&mut self, _: &mut Context<'_>, fields: Fields) {
        self.relay.borrow_mut().down.flow.trailers = Some(fields);
    }

    fn writable(&mut self, cx: &mut Context<'_>, upload: Upload<'_>) {
        let up = &mut self.relay.borrow_mut().up;
        // The client's side may wait for the first permit, or for room.
        let was_waiting = !up.wanted || !up.flow.has_room();
        up.wanted = true;
        let chunk = up.flow.take(upload.budget());
        let over = up.flow.is_over();
        let sent = match up.flow.trailers.take_if(|_| over && chunk.is_empty()) {
            Some(trailers) => {
                up.begun = true;
                upload.trailers(trailers.iter())
            }
            // Nothing to send, and more to come: the client's side asks again.
            None if chunk.is_empty() && !over => Ok(()),
            None => {
                let end = over && up.flow.trailers.is_none();
                up.begun = true;
                upload.send(Payload::Own(chunk), end)
            }
        };
        if sent.is_err() {
            // The content is not what its head has said: no request that has one meaning.
            return cx.cancel();
        }
        if was_waiting && up.flow.has_room() {
            self.front.wake();
        }
    }

    fn end(self: Box<Self>, _: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        let down = &mut self.relay.borrow_mut().down;
        down.flow.ended = true;
        down.failure = outcome.err().map(Box::new);
        self.front.wake();
    }
}
