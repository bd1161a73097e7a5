//! The echo server in a winit application. Its loop watches no descriptor of others: a thread waits for ours, sends the loop an event, and
//! does not look again before that has been handled. Handlers run on the loop's thread, as windows do.

use lws_loop_external::hosts::{PollFd, poll};
use lws_loop_external::{Clock, Interest, OneDescriptor};
use lws_server::ServerService;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::window::{Window, WindowId};

const TICK: Duration = Duration::from_millis(10);

/// The service has something to do.
struct Ready;

struct Program {
    one: OneDescriptor<ServerService>,
    clock: Clock,
    /// Lets the thread look again.
    handled: SyncSender<()>,
    window: Option<Window>,
    next_tick: Instant,
    ticks: u32,
}

impl Program {
    fn dispatch(&mut self, event_loop: &ActiveEventLoop) {
        self.one.dispatch(self.clock.now());
        if self.one.is_done() {
            event_loop.exit();
        }
    }

    /// When the loop has to go on without an event: for the service, or for the program.
    fn sleep(&self, event_loop: &ActiveEventLoop) {
        let service = self.one.wait().timeout(self.clock.now()).map(|wait| Instant::now() + wait);
        let until = service.map_or(self.next_tick, |at| at.min(self.next_tick));
        event_loop.set_control_flow(ControlFlow::WaitUntil(until));
    }
}

impl ApplicationHandler<Ready> for Program {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let attributes = Window::default_attributes().with_title("echo");
        // Without a window there is nothing to draw, and the service goes on.
        self.window = event_loop.create_window(attributes).ok();
    }

    fn new_events(&mut self, event_loop: &ActiveEventLoop, cause: StartCause) {
        if let StartCause::ResumeTimeReached { .. } = cause {
            self.dispatch(event_loop);
        }
        while self.next_tick <= Instant::now() {
            self.next_tick += TICK;
            self.ticks += 1;
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, Ready: Ready) {
        self.dispatch(event_loop);
        // The thread has gone only if the loop has.
        let _ = self.handled.send(());
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        if event == WindowEvent::CloseRequested {
            event_loop.exit();
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        self.sleep(event_loop);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let event_loop = EventLoop::<Ready>::with_user_event().build()?;
    let one = OneDescriptor::new(recipes::service()?)?;
    // The thread may still look when the service has gone: at a descriptor of its own, which nothing else then uses.
    let descriptor = one.as_fd().try_clone_to_owned()?;
    let proxy = event_loop.create_proxy();
    let (handled, may_look) = sync_channel(1);
    thread::spawn(move || -> io::Result<()> {
        loop {
            poll(&mut [PollFd::new(descriptor.as_raw_fd(), Interest::READ)], None)?;
            if proxy.send_event(Ready).is_err() || may_look.recv().is_err() {
                return Ok(());
            }
        }
    });
    let next_tick = Instant::now() + TICK;
    let mut program = Program { one, clock: Clock::new(), handled, window: None, next_tick, ticks: 0 };
    event_loop.run_app(&mut program)?;
    println!("ticks {}", program.ticks);
    Ok(())
}
