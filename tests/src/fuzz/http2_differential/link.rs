//! What drives both sides of a connection until nothing moves any more. Knows no exchanges.

use super::plan::Travel;
use crate::application::Application;
use crate::endpoint::Endpoint;
use crate::fuzz::h2_pipe::Pipe;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

/// Parts of `bytes`: so long each, until there are many.
fn parts(bytes: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    const PARTS_MAX: usize = 100;
    let (cut, rest) = bytes.split_at(len.saturating_mul(PARTS_MAX).min(bytes.len()));
    cut.chunks(len).chain((!rest.is_empty()).then_some(rest))
}

/// Something that `h2` does, to its end.
pub(super) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Two sides and what is between them.
pub(super) struct Link<'a> {
    pub(super) pipe: Pipe,
    pub(super) travel: &'a Travel,
    pub(super) tasks: Vec<Task<'a>>,
    round: usize,
}

impl<'a> Link<'a> {
    /// One without tasks.
    pub(super) fn new(travel: &'a Travel) -> Self {
        Self { pipe: Pipe::default(), travel, tasks: Vec::new(), round: 0 }
    }

    /// Drives the tasks of `h2` and the engine until nothing moves any more. `resume` is called in each round, and says whether it
    /// did anything.
    pub(super) fn drive<A: Application>(
        &mut self,
        endpoint: &mut Endpoint<A>,
        mut resume: impl FnMut(&mut Endpoint<A>) -> bool,
    ) {
        const ROUNDS_MAX: usize = 20_000;
        // What one task does may be what another waits for.
        const QUIET: usize = 3;
        let mut context = Context::from_waker(Waker::noop());
        let mut quiet = 0;
        let until = self.round + ROUNDS_MAX;
        while quiet < QUIET {
            assert!(self.round < until, "it does not come to rest");
            let before = self.tasks.len();
            self.tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            let moved = self.carry(endpoint) | resume(endpoint) | (self.tasks.len() < before);
            quiet = if moved { 0 } else { quiet + 1 };
            self.round += 1;
        }
    }

    /// Carries bytes in both directions, as far as these do not stand still. Returns whether there were any.
    fn carry<A: Application>(&self, endpoint: &mut Endpoint<A>) -> bool {
        let [out, back] = self.travel.moves(self.round);
        let any_out = self.carry_out(endpoint, out);
        endpoint.room = if back { usize::MAX } else { 0 };
        endpoint.settle();
        let sent = endpoint.take_sent();
        parts(&sent, self.travel.part(self.round)).for_each(|part| self.pipe.push(part));
        let interest = endpoint.connection.interest();
        if interest.close || interest.shutdown && !interest.write {
            self.pipe.end();
        }
        any_out || !sent.is_empty() || interest.write
    }

    /// What `h2` has written reaches our side, if that reads.
    fn carry_out<A: Application>(&self, endpoint: &mut Endpoint<A>, out: bool) -> bool {
        if !endpoint.connection.interest().read {
            return false;
        }
        let mut outgoing = self.pipe.take();
        let any = !outgoing.is_empty();
        if out {
            let mut read = 0;
            for part in parts(&outgoing, self.travel.part(self.round)) {
                if !endpoint.connection.interest().read {
                    break;
                }
                endpoint.receive(part, self.travel.buffer(self.round));
                read += part.len();
            }
            outgoing.drain(..read);
        }
        let all = outgoing.is_empty();
        self.pipe.put_back(outgoing);
        if all && self.pipe.has_ended() && endpoint.connection.interest().read {
            endpoint.receive_eof();
        }
        any
    }
}
