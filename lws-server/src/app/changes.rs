//! Sites that change on all threads: how the threads go on together. The first one leads.

use super::{App, Lent};
use crate::id::{RouteId, SiteId};
use crate::site::Site;
use crate::site::changes::{Describe, SiteChange};
use crate::site::transition::{Bound, FirstSite, Preparing, Transition};
use crate::thread::command::{Command, SitesCommand};
use std::io;
use std::sync::Arc;

impl App {
    /// Carries out a command about the sites.
    pub(super) fn on_sites_command(&mut self, cx: &mut Lent<'_>, command: SitesCommand) {
        match command {
            SitesCommand::Change(transition) => {
                self.state.changing.queue.push_back(transition);
                self.begin_next_change(cx);
            }
            SitesCommand::Prepare(transition) => {
                self.state.changing.now = Some(Preparing::new(transition));
                self.prepare_next(cx);
            }
            SitesCommand::PrepareNext => self.prepare_next(cx),
            SitesCommand::Prepared => self.all_prepared(cx),
            SitesCommand::Commit => self.commit_too(cx),
            SitesCommand::Abort => self.state.changing.now = None,
            SitesCommand::Committed => self.all_committed(cx),
        }
    }

    /// Sends a command to a thread, which gets it unless it has ended.
    fn send_sites(&self, shard: u16, command: SitesCommand) -> bool {
        self.state.group.send_surely(shard, Command::Sites(command))
    }

    fn leads(&self) -> bool {
        self.state.shard == 0
    }

    fn begin_next_change(&mut self, cx: &mut Lent<'_>) {
        if !self.state.changing.is_busy()
            && let Some(transition) = self.state.changing.queue.pop_front()
        {
            self.state.changing.now = Some(Preparing::new(transition));
            self.prepare_next(cx);
        }
    }

    /// Prepares one site, and asks for the next turn if there are more: so the connections have theirs in between.
    fn prepare_next(&mut self, cx: &mut Lent<'_>) {
        let Some(mut preparing) = self.state.changing.now.take() else { return };
        let transition = Arc::clone(&preparing.transition);
        let result = match transition.steps.get(preparing.step) {
            Some(step) => self.prepare_step(cx, &mut preparing, step),
            None => Ok(()),
        };
        preparing.step += 1;
        let is_ready = preparing.step >= transition.steps.len();
        let is_first = result.is_ok() && is_ready && self.leads();
        let first = if is_first { std::mem::take(&mut preparing.first) } else { Vec::new() };
        self.state.changing.now = Some(preparing);
        match result {
            Err(error) => self.answer_prepared(cx, Err(error)),
            Ok(()) if is_first => {
                // No other thread has begun, so it was not set before.
                let _ = transition.first.set(first);
                self.have_others_prepare(cx, &transition);
            }
            Ok(()) if is_ready => self.answer_prepared(cx, Ok(())),
            Ok(()) => {
                // What was asked for so far comes before the next site.
                cx.pace_messages();
                self.send_sites(self.state.shard, SitesCommand::PrepareNext);
            }
        }
    }

    fn prepare_step(
        &mut self,
        cx: &mut Lent<'_>,
        preparing: &mut Preparing,
        step: &SiteChange,
    ) -> io::Result<()> {
        let (replaces, describe) = match step {
            SiteChange::Remove(id) => {
                preparing.sites.remove(*id);
                return Ok(());
            }
            SiteChange::Add(describe) => (None, describe),
            SiteChange::Replace(id, describe) => (Some(*id), describe),
        };
        let site = self.describe(cx, describe)?;
        if self.leads() {
            let first = self.nowhere(cx).prepare(&mut preparing.sites, site, replaces)?;
            preparing.first.push(first);
            return Ok(());
        }
        let steps = &preparing.transition.steps[..preparing.step];
        let index = steps.iter().filter(|step| !matches!(step, SiteChange::Remove(_))).count();
        let first = preparing.transition.first.get().and_then(|first| first.get(index));
        let first = first.ok_or(io::ErrorKind::NotFound)?;
        self.nowhere(cx).prepare_too(&mut preparing.sites, site, first)
    }

    fn describe(&mut self, cx: &mut Lent<'_>, describe: &Describe) -> io::Result<Site> {
        self.state.calling = RouteId::NONE;
        let site = self.guard(cx, |_, _| describe());
        site.ok_or_else(|| io::Error::other("the description of the site has panicked"))
    }

    fn have_others_prepare(&mut self, cx: &mut Lent<'_>, transition: &Arc<Transition>) {
        let group = Arc::clone(&self.state.group);
        let others: Vec<_> = group.others(Some(self.state.shard)).collect();
        transition.wait_for(others.len() + 1);
        for shard in others {
            if !self.send_sites(shard, SitesCommand::Prepare(Arc::clone(transition))) {
                // A thread that has ended needs no site.
                self.answered(cx, transition, Ok(()));
            }
        }
        self.answered(cx, transition, Ok(()));
    }

    /// Answers for this thread.
    fn answer_prepared(&mut self, cx: &mut Lent<'_>, result: io::Result<()>) {
        let Some(preparing) = &self.state.changing.now else { return };
        let transition = Arc::clone(&preparing.transition);
        if self.leads() {
            // The others have not been asked yet.
            transition.wait_for(1);
        }
        self.answered(cx, &transition, result);
    }

    /// Records an answer; the last one has the first thread go on.
    fn answered(&mut self, cx: &mut Lent<'_>, transition: &Transition, result: io::Result<()>) {
        if !transition.answered(result) {
            return;
        }
        if self.leads() {
            self.all_prepared(cx);
        } else {
            self.send_sites(0, SitesCommand::Prepared);
        }
    }

    /// Every thread is ready, or one could not be.
    fn all_prepared(&mut self, cx: &mut Lent<'_>) {
        let Some(preparing) = self.state.changing.now.take() else { return };
        let Preparing { transition, sites, first: unfinished, .. } = preparing;
        let error = transition.take_error();
        let committed = error.map_or_else(|| self.check_wanted(cx, &transition), Err);
        let committed =
            committed.and_then(|()| self.nowhere(cx).commit(sites, None, || transition.call_before()));
        let first = transition.first.get().unwrap_or(&unfinished);
        match committed {
            Ok(bound) => {
                let ids = |bound: &Vec<Bound>| bound.iter().map(|bound| bound.id).collect();
                let _ = transition.listeners.set(bound.iter().map(ids).collect());
                for site in first {
                    self.state.group.serve(site.id, &site.routes, &site.paths);
                }
                self.have_others_commit(cx, transition);
            }
            Err(error) => {
                for (site, step) in first.iter().zip(coming(&transition)) {
                    if let SiteChange::Add(_) = step {
                        self.state.group.unregister(site.id);
                    }
                }
                for shard in self.state.group.others(Some(0)) {
                    self.send_sites(shard, SitesCommand::Abort);
                }
                self.finish_change(cx, &transition, Err(error));
            }
        }
    }

    fn check_wanted(&mut self, cx: &mut Lent<'_>, transition: &Transition) -> io::Result<()> {
        let panicked = || Err(io::Error::other("what was asked about the changes has panicked"));
        self.guard(cx, |_, _| transition.check_wanted()).unwrap_or_else(panicked)
    }

    fn have_others_commit(&mut self, cx: &mut Lent<'_>, transition: Arc<Transition>) {
        for step in &transition.steps {
            if let SiteChange::Remove(id) = step {
                self.state.group.unregister(*id);
            }
        }
        let group = Arc::clone(&self.state.group);
        let others: Vec<_> = group.others(Some(0)).collect();
        transition.wait_for(others.len() + 1);
        self.state.changing.now = Some(Preparing::new(Arc::clone(&transition)));
        let ended = others.iter().filter(|shard| !self.send_sites(**shard, SitesCommand::Commit)).count();
        // This thread answers, too.
        if (0..=ended).any(|_| transition.answered(Ok(()))) {
            self.all_committed(cx);
        }
    }

    /// Follows the first thread.
    fn commit_too(&mut self, cx: &mut Lent<'_>) {
        let Some(preparing) = self.state.changing.now.take() else { return };
        let transition = preparing.transition;
        let listeners = transition.listeners.get().map(Vec::as_slice).unwrap_or_default();
        let committed = self.nowhere(cx).commit(preparing.sites, Some(listeners), || {});
        let shard = self.state.shard;
        let named = |error: io::Error| {
            let text = format!("the sites have changed, but thread {shard} has not followed: {error}");
            io::Error::new(error.kind(), text)
        };
        if transition.answered(committed.map(drop).map_err(named)) {
            self.send_sites(0, SitesCommand::Committed);
        }
    }

    fn all_committed(&mut self, cx: &mut Lent<'_>) {
        let Some(Preparing { transition, .. }) = self.state.changing.now.take() else { return };
        if let Some(error) = transition.take_error() {
            return self.finish_change(cx, &transition, Err(error));
        }
        let first = transition.first.get().map(Vec::as_slice).unwrap_or_default();
        let added =
            |(site, step): (&FirstSite, &SiteChange)| matches!(step, SiteChange::Add(_)).then_some(site.id);
        let ids = first.iter().zip(coming(&transition)).filter_map(added).collect();
        self.finish_change(cx, &transition, Ok(ids));
    }

    fn finish_change(&mut self, cx: &mut Lent<'_>, transition: &Transition, result: io::Result<Vec<SiteId>>) {
        self.guard(cx, |app, cx| transition.finish(&mut app.nowhere(cx), result));
        self.begin_next_change(cx);
    }
}

/// The steps by which sites come, in their order.
fn coming(transition: &Transition) -> impl Iterator<Item = &SiteChange> {
    transition.steps.iter().filter(|step| !matches!(step, SiteChange::Remove(_)))
}
