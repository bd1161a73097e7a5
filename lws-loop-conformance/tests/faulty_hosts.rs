//! Checks that the kit detects a host that breaks a rule, and names the rule.

use lws_loop_conformance::{Host, InChild, Nesting, Reentry, run};
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger};
use lws_proto::Time;
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    GivesBackAtOnce,
    GivesBackTooEarly,
    NeverAttaches,
    SleepsBeforeFlushing,
    TurnsTimeBack,
    ReportsTheUnknown,
    LetsGoUnasked,
    LetsGoTwice,
    Refuses,
    Panics,
    PanicsInAChild,
    ForgetsInAChild,
    SpinsInAHandler,
    EntersInAHandler,
    DoesNotNest,
}

/// A loop on poll(2).
struct Faulty(Fault);

impl Host for Faulty {
    fn host<S: Service + 'static>(&mut self, mut service: S) -> S {
        let fault = self.0;
        if fault == Fault::GivesBackAtOnce {
            return service;
        }
        assert!(fault != Fault::Panics, "this one panics");
        if fault != Fault::NeverAttaches {
            service.attach(Trigger::Level);
        }
        let epoch = Instant::now();
        let mut watched: Vec<(Token, Interest)> = Vec::new();
        for turn in 0.. {
            let now = Time::ZERO + epoch.elapsed() + Duration::from_secs(1);
            let now = if fault == Fault::TurnsTimeBack && turn == 3 { Time::ZERO } else { now };
            let mut wait = service.settle(now);
            if fault == Fault::SleepsBeforeFlushing && turn == 3 {
                service.handle_ready(now, watched[0].0, Readiness::READABLE);
            }
            while let Some(change) = service.poll_change() {
                // The next turn handles the consequences.
                wait = lws_loop_external::Wait::Now;
                match change {
                    Change::Add { token, .. } if fault == Fault::Refuses && turn > 0 => {
                        service.refused(token, std::io::ErrorKind::PermissionDenied.into());
                    }
                    Change::Add { token, interest, .. } | Change::Modify { token, interest, .. } => {
                        watched.retain(|(other, _)| *other != token);
                        watched.push((token, interest));
                    }
                    Change::Remove { token, .. } => {
                        watched.retain(|(other, _)| *other != token);
                        service.removed(token);
                        if fault == Fault::LetsGoTwice {
                            service.removed(token);
                        }
                    }
                }
            }
            assert!(fault != Fault::PanicsInAChild || !service.is_forked(), "this one panics in a child");
            if service.is_done() || fault == Fault::GivesBackTooEarly && turn == 3 {
                break;
            }
            if turn == 2 {
                match fault {
                    Fault::LetsGoUnasked => service.removed(watched[0].0),
                    Fault::ReportsTheUnknown => {
                        service.handle_ready(now, Token::from_u64(77), Readiness::READABLE);
                    }
                    _ => {}
                }
            }
            let mut descriptors: Vec<_> = watched
                .iter()
                .map(|(token, interest)| {
                    let mut flags = PollFlags::empty();
                    flags.set(PollFlags::IN, interest.contains(Interest::READ));
                    flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
                    PollFd::from_borrowed_fd(service.descriptor(*token).expect("a descriptor"), flags)
                })
                .collect();
            let timeout = wait.timeout(now).map(|timeout| timeout.try_into().expect("a short time"));
            poll(&mut descriptors, timeout.as_ref()).expect("a wait");
            let ready: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
            let now = Time::ZERO + epoch.elapsed() + Duration::from_secs(1);
            for ((token, _), flags) in watched.iter().zip(ready).filter(|(_, flags)| !flags.is_empty()) {
                let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
                    | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
                    | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP));
                service.handle_ready(now, *token, ready);
            }
        }
        service
    }

    fn nesting(&mut self) -> Nesting {
        match self.0 {
            Fault::SpinsInAHandler => Nesting::Runs(Box::new(|_| Reentry::Ran)),
            Fault::EntersInAHandler => Nesting::Runs(Box::new(|_| Reentry::Entered)),
            Fault::DoesNotNest => Nesting::No(""),
            _ => Nesting::No("the loop is `host`, which has the service borrowed while a handler runs"),
        }
    }

    fn in_child(&self) -> InChild {
        if self.0 == Fault::ForgetsInAChild { InChild::IsForgotten("") } else { InChild::GivesBack }
    }

    fn name(&self) -> String {
        format!("{:?}", self.0)
    }
}

#[test]
fn every_fault_of_a_host_is_named() {
    for (fault, sentence) in [
        (Fault::GivesBackAtOnce, "did not attach"),
        (Fault::GivesBackTooEarly, "gave the service back when it had come no further"),
        (Fault::NeverAttaches, "did not attach"),
        (Fault::SleepsBeforeFlushing, "without asking for the changes"),
        (Fault::TurnsTimeBack, "turned time back"),
        (Fault::ReportsTheUnknown, "was never announced to it"),
        (Fault::LetsGoUnasked, "was not asked to"),
        (Fault::LetsGoTwice, "twice"),
        (Fault::Refuses, "refused descriptor"),
        (Fault::Panics, "this one panics"),
    ] {
        let failure =
            run("what_is_sent_comes_back", move || Faulty(fault)).expect_err("a failure").to_string();
        assert!(failure.contains(sentence), "{fault:?}: {failure}");
    }
}

#[test]
fn every_fault_of_a_host_that_is_run_inside_a_handler_is_named() {
    for (fault, sentence) in [
        (Fault::SpinsInAHandler, "spins inside a handler"),
        (Fault::EntersInAHandler, "inside its own handler"),
        (Fault::DoesNotNest, "no reason"),
    ] {
        let name = "a_loop_inside_a_handler_sleeps_and_goes_on_after_it";
        let failure = run(name, move || Faulty(fault)).expect_err("a failure").to_string();
        assert!(failure.contains(sentence), "{fault:?}: {failure}");
    }
}

#[test]
fn every_fault_of_a_host_in_a_child_is_named() {
    for (fault, sentence) in
        [(Fault::PanicsInAChild, "panicked perhaps"), (Fault::ForgetsInAChild, "no reason")]
    {
        let name = "a_child_by_fork_leaves_what_its_parent_serves";
        let failure = run(name, move || Faulty(fault)).expect_err("a failure").to_string();
        assert!(failure.contains(sentence), "{fault:?}: {failure}");
    }
}

#[test]
fn a_host_without_fault_passes() {
    assert_eq!(run("what_is_sent_comes_back", || Faulty(Fault::None)), Ok(()));
}

#[test]
fn there_is_no_scenario_of_any_name() {
    assert!(run("no_such_thing", || Faulty(Fault::None)).is_err());
}

mod without_fault {
    use super::{Fault, Faulty};

    // A plain poll(2) loop without a fault.
    lws_loop_conformance::suite!(Faulty(Fault::None));
}
