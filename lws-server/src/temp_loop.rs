use lws_loop_external::*;
use lws_proto::Time;
use std::collections::HashMap;
use std::os::fd::{BorrowedFd,RawFd};
use std::time::Instant;
pub(crate) fn run(mut s: impl Service) -> std::io::Result<()> {
    let start = Instant::now();
    let now = || Time::from_micros(start.elapsed().as_micros() as u64 + 1);
    let mut fds: HashMap<Token, (RawFd, Interest)> = HashMap::new();
    s.attach(Trigger::Level);
    loop {
        let wait = s.settle(now());
        while let Some(c) = s.poll_change() {
            match c {
                Change::Add{token,fd,interest} | Change::Modify{token,fd,interest} => { fds.insert(token,(fd,interest)); }
                Change::Remove{token,..} => { fds.remove(&token); s.removed(token); }
            }
        }
        if s.is_done() { return Ok(()) }
        let list: Vec<_> = fds.iter().filter(|(_,(_,i))| !i.is_empty()).map(|(t,v)|(*t,*v)).collect();
        use rustix::event::*;
        let mut p: Vec<PollFd<'_>> = list.iter().map(|(_,(fd,i))| {
            let mut f = PollFlags::empty();
            if i.contains(Interest::READ) { f |= PollFlags::IN }
            if i.contains(Interest::WRITE) { f |= PollFlags::OUT }
            PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(*fd) }, f)
        }).collect();
        let ts = wait.timeout(now()).map(|d| Timespec{tv_sec:d.as_secs() as _, tv_nsec:d.subsec_nanos() as _});
        poll(&mut p, ts.as_ref())?;
        let ready: Vec<_> = list.iter().zip(&p).map(|((t,_),p)|(*t,p.revents())).filter(|(_,r)|!r.is_empty()).collect();
        for (t,r) in ready {
            let mut x = Readiness::NONE;
            if r.contains(PollFlags::IN) { x |= Readiness::READABLE }
            if r.contains(PollFlags::OUT) { x |= Readiness::WRITABLE }
            if r.contains(PollFlags::HUP) { x |= Readiness::HANG_UP }
            if r.contains(PollFlags::ERR) { x |= Readiness::ERROR }
            s.handle_ready(now(), t, x);
        }
    }
}
