//! Safe wrappers of libuv's functions: a loop, and handles that own their memory.
//!
//! libuv itself reports the size of each type, and the constants below belong to its stable interface. Knows no
//! services.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_uint};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::library::{Call, Library, LibraryError, RawHandle, RawLoop, Table};
use lws_loop_external::Token;
use lws_proto::Time;

// `uv_handle_type`.
const UV_CHECK: c_int = 2;
const UV_IDLE: c_int = 6;
const UV_POLL: c_int = 8;
const UV_PREPARE: c_int = 9;
const UV_TIMER: c_int = 13;

/// The strictest alignment that a type of C requires.
const ALIGN: usize = 16;

/// The events that a descriptor is watched for, and that are reported: `uv_poll_event`.
pub(crate) mod events {
    use std::ffi::c_int;

    pub(crate) const READABLE: c_int = 1;
    pub(crate) const WRITABLE: c_int = 2;
    /// The peer has ended its direction.
    pub(crate) const DISCONNECT: c_int = 4;
    /// Urgent data, which no peer sends. Watching for it alone reports errors and hang-ups only, for which libuv has no
    /// event of its own.
    pub(crate) const PRIORITIZED: c_int = 8;
}

/// The mode of `uv_run`: `uv_run_mode`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Default = 0,
    Once = 1,
    NoWait = 2,
}

fn check(code: c_int) -> io::Result<()> {
    // On Unix libuv's codes are the system's, negative.
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}

/// Zeroed memory of a size that is known at run time only.
fn allocate(bytes: usize) -> io::Result<(NonNull<u8>, Layout)> {
    let layout = Layout::from_size_align(bytes.max(ALIGN), ALIGN).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // SAFETY: the layout is not of size zero.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
    Ok((memory, layout))
}

// Loops.

/// A service that is attached to a loop, with its type erased.
pub(crate) trait Hosted {
    /// Starts to close the service's handles, before the loop closes.
    fn leave(&self);

    /// Passes on [`limit_turn`](lws_loop_external::Service::limit_turn), unless the service is in a call.
    fn limit_turn(&self, time: Option<Duration>);
}

/// A reference to a loop, to attach services to it. Cheap to clone; belongs to the thread of the loop.
///
/// Comes from a [`UvLoop`](crate::UvLoop), or from a loop that the program has made and runs.
#[derive(Clone)]
pub struct LoopRef(Rc<LoopState>);

/// A loop and its bookkeeping, shared by all references to it.
struct LoopState {
    raw: NonNull<RawLoop>,
    library: Library,
    /// The layout of the loop's memory if it is our own, and `None` if the program owns it.
    layout: Option<Layout>,
    /// Whether no handle may be added any more.
    ends: Cell<bool>,
    /// Whether `uv_loop_close` has succeeded, so that the loop must not be used.
    closed: Cell<bool>,
    /// The number of calls into services that have not returned.
    entered: Cell<usize>,
    hosted: RefCell<Vec<Weak<dyn Hosted>>>,
}

impl LoopRef {
    /// A reference to a loop that the program owns, and runs itself.
    ///
    /// # Safety
    /// * `raw` is a loop that `uv_loop_init` has initialised, or the one of `uv_default_loop`.
    /// * It is used and run only on the thread of this call.
    /// * It is not run from inside a call into this crate: neither in a handler of a service, nor in the closure of
    ///   [`Attached::with`](crate::Attached::with).
    /// * It is neither closed nor freed while something is attached to it, or still
    ///   [detaching](crate::Detaching): `uv_loop_close` refuses it. When it has been closed, nothing is attached
    ///   through this reference or a clone of it any more.
    /// * No other code closes, starts or stops a handle of this crate, though `uv_walk` finds them.
    /// * It was made by the libuv that this program is linked with. One of a host's own libuv is for [`of`](Self::of).
    #[cfg(feature = "linked")]
    #[must_use]
    pub unsafe fn from_raw(raw: NonNull<RawLoop>) -> Self {
        Self::new(Library::linked(), raw, None)
    }

    /// A reference to a loop that the program owns and runs itself, and that `library` has made.
    ///
    /// # Safety
    /// As of [`from_raw`](Self::from_raw), with `library` in place of the libuv that this program is linked with.
    #[must_use]
    pub unsafe fn of(library: &Library, raw: NonNull<RawLoop>) -> Self {
        Self::new(library.clone(), raw, None)
    }

    /// A reference to a loop as by [`of`](Self::of), checked against the version of the libuv that has made the loop:
    /// the value of `uv_version` there.
    ///
    /// # Errors
    /// `library` has another version. The layouts of handles differ between versions, and the process would abort at
    /// the first one.
    ///
    /// # Safety
    /// As of [`of`](Self::of), if the versions are the same.
    pub unsafe fn of_version(
        library: &Library,
        raw: NonNull<RawLoop>,
        version: u32,
    ) -> Result<Self, LibraryError> {
        match library.version() {
            // SAFETY: the caller says so.
            functions if functions == version => Ok(unsafe { Self::of(library, raw) }),
            functions => Err(LibraryError::Other { functions, of_loop: version }),
        }
    }

    fn new(library: Library, raw: NonNull<RawLoop>, layout: Option<Layout>) -> Self {
        Self(Rc::new(LoopState {
            raw,
            library,
            layout,
            ends: Cell::new(false),
            closed: Cell::new(false),
            entered: Cell::new(0),
            hosted: RefCell::default(),
        }))
    }

    /// A loop of our own. It is to be given to [`close`](Self::close) in the end.
    pub(crate) fn create(library: &Library) -> io::Result<Self> {
        // SAFETY: it takes nothing.
        let (memory, layout) = allocate(unsafe { (library.table().uv_loop_size)() })?;
        let raw = memory.cast::<RawLoop>();
        // SAFETY: the memory is as large as libuv says that a loop is.
        if let Err(error) = check(unsafe { (library.table().uv_loop_init)(raw.as_ptr()) }) {
            // SAFETY: `allocate` gave it with this layout, and a loop that is not initialised knows nothing of it.
            unsafe { dealloc(memory.as_ptr(), layout) };
            return Err(error);
        }
        Ok(Self::new(library.clone(), raw, Some(layout)))
    }

    /// The loop as libuv's functions take it. Null when it was a [`UvLoop`](crate::UvLoop) that has been
    /// dropped.
    #[must_use]
    pub fn as_raw(&self) -> *mut RawLoop {
        self.open().map_or(std::ptr::null_mut(), NonNull::as_ptr)
    }

    fn table(&self) -> &Table {
        self.0.library.table()
    }

    pub(crate) fn clock(&self) -> Time {
        self.0.library.now()
    }

    fn open(&self) -> Option<NonNull<RawLoop>> {
        (!self.0.closed.get()).then_some(self.0.raw)
    }

    /// Ends the run of the loop after its turn: `uv_stop`. For the thread of the loop; other threads send a message to a
    /// service, whose handler may call this.
    #[doc(alias = "uv_stop")]
    pub fn stop(&self) {
        if let Some(raw) = self.open() {
            // SAFETY: the loop is open, and this is its thread, as the reference is not `Send`.
            unsafe { (self.table().uv_stop)(raw.as_ptr()) };
        }
    }

    /// Whether an active, referenced handle keeps the loop running: `uv_loop_alive`.
    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: as in `stop`.
        self.open().is_some_and(|raw| unsafe { (self.table().uv_loop_alive)(raw.as_ptr()) } != 0)
    }

    /// Runs a loop of our own. Returns true if it was stopped while handles still kept it running.
    pub(crate) fn run(&self, mode: Mode) -> bool {
        // SAFETY: as in `stop`; and it does not run already, as only `UvLoop` calls this, through a mutable reference,
        // and not while a service is in a call.
        self.open().is_some_and(|raw| unsafe { (self.table().uv_run)(raw.as_ptr(), mode as c_uint) } != 0)
    }

    /// Whether a service of this reference is in a call.
    pub(crate) fn is_entered(&self) -> bool {
        self.0.entered.get() > 0
    }

    /// Counts a call into a service, until the result is dropped.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.0.entered.set(self.0.entered.get() + 1);
        Entered(&self.0.entered)
    }

    /// Registers a service that has been attached.
    pub(crate) fn register(&self, service: Weak<dyn Hosted>) {
        let mut hosted = self.0.hosted.borrow_mut();
        hosted.retain(|other| other.strong_count() > 0);
        hosted.push(service);
    }

    /// Limits the time that the turns of all attached services may take together. `None` restores what their own
    /// options say.
    pub(crate) fn limit_turns(&self, time: Option<Duration>) {
        let hosted: Vec<_> = self.0.hosted.borrow().iter().filter_map(Weak::upgrade).collect();
        let count = u32::try_from(hosted.len()).unwrap_or(u32::MAX).max(1);
        hosted.iter().for_each(|service| service.limit_turn(time.map(|time| time / count)));
    }

    /// Detaches all services from a loop of our own and closes it. If the program has handles on it, or if this is
    /// called from inside a service, where the loop cannot run, then it stays open and its memory is never freed.
    pub(crate) fn close(&self) {
        self.0.ends.set(true);
        let hosted = std::mem::take(&mut *self.0.hosted.borrow_mut());
        for service in hosted {
            if let Some(service) = service.upgrade() {
                service.leave();
            }
        }
        if self.is_entered() {
            return;
        }
        // Handles close within one round. A `uv_stop` that has had no effect yet ends the first round early, so that a
        // second one is needed.
        for _ in 0..CLOSE_ROUNDS {
            let Some(raw) = self.open() else { return };
            // SAFETY: the loop is open, it does not run, and this is its thread. It fails while there are handles.
            if check(unsafe { (self.table().uv_loop_close)(raw.as_ptr()) }).is_ok() {
                self.0.closed.set(true);
                return;
            }
            self.run(Mode::NoWait);
        }
    }
}

/// The largest number of rounds that a closing loop is run.
const CLOSE_ROUNDS: usize = 8;

impl Drop for LoopState {
    fn drop(&mut self) {
        if let Some(layout) = self.layout
            && self.closed.get()
        {
            // SAFETY: `allocate` gave it with this layout, and libuv is done with it, as it was closed.
            unsafe { dealloc(self.raw.as_ptr().cast(), layout) };
        }
    }
}

impl fmt::Debug for LoopRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopRef").field(&self.as_raw()).finish()
    }
}

/// A call into a service. Dropping it ends the call.
pub(crate) struct Entered<'l>(&'l Cell<usize>);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// Handles.

/// Receives the callbacks of handles. Each handle holds a reference to its owner until libuv has
/// closed it.
pub(crate) trait Owner: 'static {
    /// A descriptor is ready for these events. `None` is an error of the descriptor, after which libuv has
    /// stopped to watch it.
    fn ready(self: &Rc<Self>, _token: Token, _events: Option<c_int>) {}

    /// A handle without a descriptor has called back.
    fn loop_callback(self: &Rc<Self>, _callback: LoopCallback) {}

    /// libuv has closed a handle.
    fn closed(self: &Rc<Self>, _kind: HandleKind) {}
}

/// The callbacks of handles that watch no descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopCallback {
    Prepare,
    Check,
    Idle,
    Timer,
}

/// What a handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleKind {
    /// It watches this descriptor.
    Watch(Token),
    /// It watched this descriptor until the service removed that.
    Removed(Token),
    LoopCallback(LoopCallback),
}

/// The data of a handle, to which a pointer stands before the handle in its memory. libuv's own `data` field stays
/// null: programs that walk the loop take it for theirs.
struct Data<O> {
    owner: Rc<O>,
    kind: Cell<HandleKind>,
    layout: Layout,
}

/// The room for that pointer, padded so that the handle behind it is aligned.
const HEADER_BYTES: usize = ALIGN;

/// An initialised handle. Dropping it starts to close it; its memory is freed in libuv's close
/// callback.
struct Handle<O: Owner> {
    raw: NonNull<RawHandle>,
    library: Library,
    owner: PhantomData<Rc<O>>,
}

impl<O: Owner> Handle<O> {
    /// `init` initialises a handle of this kind on the loop, or fails and leaves it alone.
    fn new(
        at: &LoopRef,
        owner: &Rc<O>,
        (uv_type, kind): (c_int, HandleKind),
        init: impl FnOnce(*mut RawLoop, *mut RawHandle) -> c_int,
    ) -> io::Result<Self> {
        let uv_loop = at.open().filter(|_| !at.0.ends.get()).ok_or_else(closed)?;
        // SAFETY: it takes a number.
        let (memory, layout) = allocate(HEADER_BYTES + unsafe { (at.table().uv_handle_size)(uv_type) })?;
        // SAFETY: the memory is longer than that.
        let raw = unsafe { memory.add(HEADER_BYTES) }.cast::<RawHandle>();
        if let Err(error) = check(init(uv_loop.as_ptr(), raw.as_ptr())) {
            // SAFETY: `allocate` gave it with this layout, and a handle that was refused is not known to libuv.
            unsafe { dealloc(memory.as_ptr(), layout) };
            return Err(error);
        }
        let data = Box::new(Data { owner: Rc::clone(owner), kind: Cell::new(kind), layout });
        // SAFETY: it is the beginning of the memory, which is aligned for a pointer. The data is taken back when the handle has closed.
        unsafe { memory.cast::<*mut Data<O>>().write(Box::into_raw(data)) };
        Ok(Self { raw, library: at.0.library.clone(), owner: PhantomData })
    }

    fn raw(&self) -> *mut RawHandle {
        self.raw.as_ptr()
    }

    fn table(&self) -> &Table {
        self.library.table()
    }

    /// Sets whether the handle keeps the loop running while it is active: `uv_ref`, `uv_unref`.
    fn set_referenced(&self, is_referenced: bool) {
        // SAFETY: the handle is initialised, and has not been closed, as only dropping it does that.
        unsafe {
            if is_referenced {
                (self.table().uv_ref)(self.raw())
            } else {
                (self.table().uv_unref)(self.raw())
            }
        }
    }
}

impl<O: Owner> Drop for Handle<O> {
    fn drop(&mut self) {
        // SAFETY: the handle is initialised, this is the only place that closes it, and `on_close` frees its memory.
        unsafe { (self.table().uv_close)(self.raw(), Some(on_close::<O>)) };
    }
}

/// The error of every call on a loop that has been closed.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the loop has been closed")
}

/// The data of a handle.
///
/// # Safety
/// `raw` is a handle of [`Handle::new`], and its owner is an `O`. The result is used only until the handle's close
/// callback.
unsafe fn data<'h, O>(raw: *mut RawHandle) -> &'h Data<O> {
    // SAFETY: the caller says so.
    unsafe { &**header::<O>(raw) }
}

/// The position of the pointer to a handle's data, at the beginning of the handle's memory.
///
/// # Safety
/// `raw` is a handle of [`Handle::new`].
unsafe fn header<O>(raw: *mut RawHandle) -> *mut *mut Data<O> {
    // SAFETY: the caller says so, and there the header stands before the handle.
    unsafe { raw.cast::<u8>().sub(HEADER_BYTES) }.cast()
}

unsafe extern "C" fn on_poll<O: Owner>(raw: *mut RawHandle, status: c_int, ready: c_int) {
    // SAFETY: libuv calls this for a handle that `Poll::start` of the same `O` has started. The owner may close it
    // in this call, but libuv calls `on_close` from the loop only, which does not run in here.
    let data = unsafe { data::<O>(raw) };
    if let HandleKind::Watch(token) = data.kind.get() {
        data.owner.ready(token, (status >= 0).then_some(ready));
    }
}

unsafe extern "C" fn on_tick<O: Owner>(raw: *mut RawHandle) {
    // SAFETY: as in `on_poll`, for a handle that a `Timer` or `Hook` has started.
    let data = unsafe { data::<O>(raw) };
    if let HandleKind::LoopCallback(loop_callback) = data.kind.get() {
        data.owner.loop_callback(loop_callback);
    }
}

unsafe extern "C" fn on_close<O: Owner>(raw: *mut RawHandle) {
    // SAFETY: libuv calls this once for a handle of `Handle::new` of the same `O`, where the data comes from a box, and
    // it touches the handle no more.
    let (memory, data) = unsafe { (header::<O>(raw), Box::from_raw(*header::<O>(raw))) };
    // SAFETY: `allocate` gave it with this layout, and libuv is done with it.
    unsafe { dealloc(memory.cast(), data.layout) };
    data.owner.closed(data.kind.get());
}

/// Watches one descriptor: `uv_poll_t`.
pub(crate) struct Poll<O: Owner>(Handle<O>);

impl<O: Owner> Poll<O> {
    /// A poll handle that does not watch for anything yet.
    ///
    /// # Errors
    /// `fd` is not an open descriptor, cannot be watched, or is watched by this loop already; or a limit of the
    /// system is reached.
    pub(crate) fn new(at: &LoopRef, owner: &Rc<O>, token: Token, fd: c_int) -> io::Result<Self> {
        let init = |uv_loop, raw| {
            // SAFETY: the loop is open, and the memory is large enough for this kind. Any number may be tried.
            unsafe { (at.table().uv_poll_init)(uv_loop, raw, fd) }
        };
        let handle = Handle::new(at, owner, (UV_POLL, HandleKind::Watch(token)), init)?;
        handle.set_referenced(false);
        Ok(Self(handle))
    }

    /// Watches for these events, which replace those of the last call.
    pub(crate) fn start(&self, events: c_int) -> io::Result<()> {
        // SAFETY: it is a poll handle, and not closed.
        check(unsafe { (self.0.table().uv_poll_start)(self.0.raw(), events, Some(on_poll::<O>)) })
    }

    /// Stops to watch.
    pub(crate) fn stop(&self) {
        // SAFETY: it is a poll handle, and not closed. It does not fail.
        unsafe { (self.0.table().uv_poll_stop)(self.0.raw()) };
    }

    /// Closes the handle because the service has removed the descriptor: [`Owner::closed`] then
    /// receives [`HandleKind::Removed`].
    pub(crate) fn remove(self, token: Token) {
        // SAFETY: the handle is of this `O`, and not closed.
        unsafe { data::<O>(self.0.raw()) }.kind.set(HandleKind::Removed(token));
    }
}

/// A timer that fires once: `uv_timer_t`.
pub(crate) struct Timer<O: Owner> {
    handle: Handle<O>,
    at: LoopRef,
}

impl<O: Owner> Timer<O> {
    pub(crate) fn new(at: &LoopRef, owner: &Rc<O>) -> io::Result<Self> {
        let init = |uv_loop, raw| {
            // SAFETY: the loop is open, and the memory is large enough for this kind.
            unsafe { (at.table().uv_timer_init)(uv_loop, raw) }
        };
        let handle = Handle::new(at, owner, (UV_TIMER, HandleKind::LoopCallback(LoopCallback::Timer)), init)?;
        Ok(Self { handle, at: at.clone() })
    }

    /// Fires at `due` and not earlier. Replaces the time of the last call.
    pub(crate) fn start(&self, due: Time) {
        let Some(uv_loop) = self.at.open() else { return };
        let due = due.as_micros().div_ceil(1_000);
        // SAFETY: the loop is open.
        let now = unsafe { (self.at.table().uv_now)(uv_loop.as_ptr()) };
        // libuv counts a timeout from the loop's cached time, which is that of the start of the turn. Both are whole
        // milliseconds of one clock, so the timeout is computed from there and does not grow by what the turn has
        // taken so far. SAFETY: it is a timer, and not closed. It does not fail with a callback.
        unsafe {
            let start = self.handle.table().uv_timer_start;
            start(self.handle.raw(), Some(on_tick::<O>), due.saturating_sub(now), 0)
        };
    }

    pub(crate) fn stop(&self) {
        // SAFETY: it is a timer, and not closed. It does not fail.
        unsafe { (self.handle.table().uv_timer_stop)(self.handle.raw()) };
    }

    pub(crate) fn set_referenced(&self, is_referenced: bool) {
        self.handle.set_referenced(is_referenced);
    }
}

type Init = unsafe extern "C" fn(*mut RawLoop, *mut RawHandle) -> c_int;
type Start = unsafe extern "C" fn(*mut RawHandle, Option<Call>) -> c_int;

/// A callback in each turn of the loop while it is active: `uv_prepare_t`, `uv_check_t`.
pub(crate) struct Hook<O: Owner> {
    handle: Handle<O>,
    start: Start,
}

impl<O: Owner> Hook<O> {
    /// Calls back before the loop polls for readiness.
    pub(crate) fn prepare(at: &LoopRef, owner: &Rc<O>) -> io::Result<Self> {
        let Table { uv_prepare_init, uv_prepare_start, .. } = *at.table();
        Self::new(at, owner, (UV_PREPARE, LoopCallback::Prepare), uv_prepare_init, uv_prepare_start)
    }

    /// Calls back after the loop has polled for readiness.
    pub(crate) fn check(at: &LoopRef, owner: &Rc<O>) -> io::Result<Self> {
        let Table { uv_check_init, uv_check_start, .. } = *at.table();
        Self::new(at, owner, (UV_CHECK, LoopCallback::Check), uv_check_init, uv_check_start)
    }

    fn new(
        at: &LoopRef,
        owner: &Rc<O>,
        (uv_type, callback): (c_int, LoopCallback),
        init: Init,
        start: Start,
    ) -> io::Result<Self> {
        let init = |uv_loop, raw| {
            // SAFETY: the loop is open, the memory is large enough for this kind, and `init` is of this kind.
            unsafe { init(uv_loop, raw) }
        };
        let handle = Handle::new(at, owner, (uv_type, HandleKind::LoopCallback(callback)), init)?;
        Ok(Self { handle, start })
    }

    pub(crate) fn start(&self) {
        // SAFETY: it is a handle of the kind of `start`, and not closed. It does not fail with a callback.
        unsafe { (self.start)(self.handle.raw(), Some(on_tick::<O>)) };
    }

    pub(crate) fn set_referenced(&self, is_referenced: bool) {
        self.handle.set_referenced(is_referenced);
    }
}

/// Keeps the loop from sleeping while it is active: `uv_idle_t`.
pub(crate) struct Idle<O: Owner>(Hook<O>);

impl<O: Owner> Idle<O> {
    pub(crate) fn new(at: &LoopRef, owner: &Rc<O>) -> io::Result<Self> {
        let Table { uv_idle_init, uv_idle_start, .. } = *at.table();
        Ok(Self(Hook::new(at, owner, (UV_IDLE, LoopCallback::Idle), uv_idle_init, uv_idle_start)?))
    }

    pub(crate) fn start(&self) {
        self.0.start();
    }

    pub(crate) fn stop(&self) {
        // SAFETY: it is an idle handle, and not closed. It does not fail.
        unsafe { (self.0.handle.table().uv_idle_stop)(self.0.handle.raw()) };
    }

    pub(crate) fn set_referenced(&self, is_referenced: bool) {
        self.0.set_referenced(is_referenced);
    }
}

#[cfg(all(test, feature = "linked"))]
mod tests {
    use super::*;
    use std::ffi::{CStr, c_char};

    // SAFETY: libuv's declaration. The result is null or a constant.
    unsafe extern "C" {
        safe fn uv_handle_type_name(kind: c_int) -> *const c_char;
    }

    #[test]
    fn the_kinds_of_handles_have_the_numbers_that_libuv_gives_them() {
        let kinds = [
            (UV_CHECK, c"check"),
            (UV_IDLE, c"idle"),
            (UV_POLL, c"poll"),
            (UV_PREPARE, c"prepare"),
            (UV_TIMER, c"timer"),
        ];
        for (kind, name) in kinds {
            let said = uv_handle_type_name(kind);
            assert!(!said.is_null(), "{name:?}");
            // SAFETY: it is not null, so it is a constant of libuv.
            assert_eq!(unsafe { CStr::from_ptr(said) }, name);
        }
    }

    #[test]
    fn a_loop_of_another_version_is_refused_with_words() {
        let library = Library::linked();
        let own = LoopRef::create(&library).expect("a loop");
        let raw = NonNull::new(own.as_raw()).expect("it is open");
        let of_version = |version| {
            // SAFETY: it is a loop of this library on this thread, and nothing is attached to it.
            unsafe { LoopRef::of_version(&library, raw, version) }.map(|_| ())
        };
        assert_eq!(of_version(library.version()), Ok(()));
        let functions = library.version();
        let error = of_version(0x01_30_00).expect_err("it is another version");
        assert_eq!(error, LibraryError::Other { functions, of_loop: 0x01_30_00 });
        assert!(
            error.to_string().starts_with("the loop is of libuv 1.48.0, and the functions are of libuv 1.")
        );
        own.close();
    }
}
