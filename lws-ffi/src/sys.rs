//! What C passes and what it gets, as types that can be used without care; every `unsafe` of the crate.
//!
//! The functions of the interface take their pointers as the types below, which are laid out as plain pointers. Only C makes values of them,
//! and the headers say what it has to keep to: a pointer is NULL, or points to as many values of its type as its length says, for as long
//! as the call lasts. What can be checked is checked: NULL, alignment, the size of a struct.

use crate::error::Error;
use crate::service::call::Call;
use crate::service::{client, handlers, host, links, plan, streams};
use crate::{engine, service, types};
use lws_loop_external::hosts::PollFd;
use lws_proto::{Connection, Event};
use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::num::NonZeroU32;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Data of C: every pattern of bits is a value, and all zeros is what nothing was set in.
///
/// # Safety
/// `repr(C)`, and made of numbers, pointers and optional functions only.
pub unsafe trait Plain: Copy {}

/// Data of C that begins with its own size, and may have more behind what this library knows, or less.
///
/// # Safety
/// The first field is a `usize`, `size`.
pub unsafe trait SizedStruct: Plain {
    /// The size of its first version.
    const SIZE_MIN: usize;
}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        // SAFETY: each is declared `repr(C)`, of numbers, pointers and optional functions.
        $(unsafe impl Plain for $name {})*
    };
}

macro_rules! sized {
    ($($name:ty = $min:expr),* $(,)?) => {
        plain!($($name),*);
        // SAFETY: the first field of each is its size, which `tests/layout.rs` compares with the header.
        $(unsafe impl SizedStruct for $name { const SIZE_MIN: usize = $min; })*
    };
}

plain!(
    crate::limits::LimitOptions,
    u8,
    u64,
    i32,
    c_char,
    PollFd,
    types::Str,
    types::Field,
    types::InStr<'_>,
    types::InField<'_>
);
sized!(
    engine::ConnOptions = size_of::<engine::ConnOptions>(),
    engine::ConnEvent = size_of::<engine::ConnEvent>(),
    engine::ConnInterest = size_of::<engine::ConnInterest>(),
    engine::ConnRequest<'_> = size_of::<engine::ConnRequest<'_>>(),
    handlers::Closed = offset_of!(handlers::Closed, detail),
    // The first version of each that has grown since, for ever.
    handlers::Handler<'_> = offset_of!(handlers::Handler<'_>, response),
    handlers::ResponseInfo = size_of::<handlers::ResponseInfo>(),
    client::ConnectOptions<'_> = size_of::<client::ConnectOptions<'_>>(),
    host::HostCallbacks = size_of::<host::HostCallbacks>(),
    links::UdpCallbacks = size_of::<links::UdpCallbacks>(),
    plan::FilesOptions<'_> = size_of::<plan::FilesOptions<'_>>(),
    plan::ListenOptions<'_> = size_of::<plan::ListenOptions<'_>>(),
    plan::ServiceOptions = offset_of!(plan::ServiceOptions, log),
    service::ServiceStats = size_of::<service::ServiceStats>(),
    streams::RequestInfo = size_of::<streams::RequestInfo>(),
);

/// A pointer to data that C lends for a call.
#[repr(transparent)]
pub struct In<'a, T>(*const T, PhantomData<&'a T>);

impl<T> Clone for In<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<'_, T> {}

impl<T> fmt::Debug for In<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, T> From<&'a T> for In<'a, T> {
    fn from(value: &'a T) -> Self {
        Self(value, PhantomData)
    }
}

impl<T> In<'_, T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null(), PhantomData)
    }

    /// Whether C passes none.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }
}

impl<'a, T: Plain> In<'a, T> {
    /// The start of a slice: for tests, which are Rust.
    #[must_use]
    pub const fn start(values: &'a [T]) -> Self {
        Self(values.as_ptr(), PhantomData)
    }

    /// The value.
    ///
    /// # Errors
    /// [`Error::Null`], or [`Error::Argument`] if the pointer cannot be one to such a value.
    pub fn get(self) -> Result<&'a T, Error> {
        self.slice(1).map(|values| &values[0])
    }

    /// So many values. None may be behind NULL.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn slice(self, len: usize) -> Result<&'a [T], Error> {
        if len == 0 {
            return Ok(&[]);
        }
        let start = NonNull::new(self.0.cast_mut()).ok_or(Error::Null)?;
        if !start.is_aligned() || len > isize::MAX as usize / size_of::<T>() {
            return Err(Error::Argument);
        }
        // SAFETY: C says that there are so many values for as long as the call lasts, which is what the lifetime stands for; every
        // pattern of bits is one.
        Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }
}

impl<'a, T: SizedStruct> In<'a, T> {
    /// A struct of a later version, which begins with this one: for tests.
    #[must_use]
    pub const fn of_larger<L>(larger: &'a L) -> Self {
        Self(std::ptr::from_ref(larger).cast(), PhantomData)
    }
}

impl<'a> In<'a, c_char> {
    /// A text: for tests.
    #[must_use]
    pub const fn c_text(text: &'a CStr) -> Self {
        Self(text.as_ptr(), PhantomData)
    }

    /// A text that ends with NUL.
    ///
    /// # Errors
    /// [`Error::Null`], or [`Error::Argument`] if it is not UTF-8.
    pub fn text(self) -> Result<&'a str, Error> {
        if self.0.is_null() {
            return Err(Error::Null);
        }
        // SAFETY: C says that it ends with NUL, and stays as it is for as long as the call lasts.
        unsafe { CStr::from_ptr(self.0) }.to_str().map_err(|_| Error::Argument)
    }

    /// A text that ends with NUL, or none.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not UTF-8.
    pub fn text_if_any(self) -> Result<Option<&'a str>, Error> {
        if self.0.is_null() { Ok(None) } else { self.text().map(Some) }
    }
}

impl<T: SizedStruct> In<'_, T> {
    /// The struct as this library knows it: what an older program has not got is zero, as is everything behind NULL.
    ///
    /// # Errors
    /// [`Error::Size`] if it is smaller than its first version, or larger than is known and what is not known is not zero.
    pub fn sized(self) -> Result<T, Error> {
        let mut value = zeroed::<T>();
        if self.0.is_null() {
            return Ok(value);
        }
        // The size is looked at first, as there may be nothing behind it.
        let size = *In::<usize>(self.0.cast(), PhantomData).aligned()?;
        if size < T::SIZE_MIN || size > u16::MAX.into() {
            return Err(Error::Size);
        }
        // SAFETY: C says that so many bytes are there.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.cast::<u8>(), size) };
        let known = size.min(size_of::<T>());
        if bytes[known..].iter().any(|byte| *byte != 0) {
            return Err(Error::Size);
        }
        // SAFETY: as many bytes as both have; every pattern of bits is a value.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut value).cast::<u8>(), known) };
        Ok(value)
    }
}

impl<'a> In<'a, usize> {
    fn aligned(self) -> Result<&'a usize, Error> {
        if !self.0.is_aligned() {
            return Err(Error::Argument);
        }
        // SAFETY: it is not NULL, which the only caller has seen to, and C says that it points to a struct that begins with a number.
        Ok(unsafe { &*self.0 })
    }
}

/// A value with nothing set.
#[must_use]
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: all zeros is a value of such a type.
    unsafe { std::mem::zeroed() }
}

/// A pointer to where C wants a value.
#[repr(transparent)]
pub struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> fmt::Debug for Out<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, T> From<&'a mut T> for Out<'a, T> {
    fn from(value: &'a mut T) -> Self {
        Self(value, PhantomData)
    }
}

impl<T> Out<'_, T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null_mut(), PhantomData)
    }

    /// Whether C wants none.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// Writes the value.
    ///
    /// # Errors
    /// [`Error::Null`], or [`Error::Argument`] if it cannot be written there.
    pub fn put(&self, value: T) -> Result<(), Error> {
        let at = NonNull::new(self.0).ok_or(Error::Null)?;
        if !at.is_aligned() {
            return Err(Error::Argument);
        }
        // SAFETY: C says that there is room for one, which may hold nothing so far.
        unsafe { at.write(value) };
        Ok(())
    }
}

impl<T> Out<'_, T> {
    /// Writes the value unless C wants none.
    ///
    /// # Errors
    /// As [`put`](Self::put), but for NULL.
    pub fn put_if_any(&self, value: T) -> Result<(), Error> {
        if self.is_null() { Ok(()) } else { self.put(value) }
    }
}

impl<'a> Out<'a, u8> {
    /// The start of a buffer: for tests.
    #[must_use]
    pub fn start(bytes: &'a mut [u8]) -> Self {
        Self(bytes.as_mut_ptr(), PhantomData)
    }
}

impl Out<'_, u8> {
    /// Room for so many bytes, which may hold nothing so far: it is written from here on.
    ///
    /// # Errors
    /// [`Error::Null`].
    pub fn fill(&self, bytes: &[u8]) -> Result<(), Error> {
        let at = NonNull::new(self.0).ok_or(Error::Null)?;
        // SAFETY: C promises room for `size` bytes here, and uses it for nothing else during the call.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.as_ptr(), bytes.len()) };
        Ok(())
    }
}

impl<T: SizedStruct> Out<'_, T> {
    /// Writes as much of the struct as C has room for, which the size at its beginning says.
    ///
    /// # Errors
    /// [`Error::Null`], or [`Error::Size`] if there is less room than its first version takes.
    pub fn put_sized(&self, mut value: T) -> Result<(), Error> {
        let size = self.room()?;
        let known = size.min(size_of::<T>());
        let from = (&raw mut value).cast::<u8>();
        // SAFETY: both have so many bytes. The size at the beginning stays as C has set it.
        unsafe {
            let head = size_of::<usize>();
            std::ptr::copy_nonoverlapping(from.add(head), self.0.cast::<u8>().add(head), known - head);
        }
        Ok(())
    }

    /// How large the struct of C is.
    ///
    /// # Errors
    /// As [`put_sized`](Self::put_sized).
    pub fn room(&self) -> Result<usize, Error> {
        if self.0.is_null() {
            return Err(Error::Null);
        }
        let size = *In::<usize>(self.0.cast(), PhantomData).aligned()?;
        if size < T::SIZE_MIN { Err(Error::Size) } else { Ok(size) }
    }
}

/// A handle that C holds. Shared, as calls may come from inside other calls: what it points to sees to that itself.
#[repr(transparent)]
pub struct Ref<'a, T>(*const T, PhantomData<&'a T>);

impl<T> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Clone for Ref<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<'_, T> {}

impl<'a, T> From<&'a T> for Ref<'a, T> {
    fn from(value: &'a T) -> Self {
        Self(value, PhantomData)
    }
}

impl Ref<'_, service::Service> {
    /// A count of it, for as long as a call lasts. `None` for NULL.
    pub(crate) fn counted(self) -> Option<Rc<service::Service>> {
        let service = NonNull::new(self.0.cast_mut())?.as_ptr();
        // SAFETY: C has it from `Counted::new`, or from a callback, which holds a count, and says that it was not freed.
        unsafe {
            Rc::increment_strong_count(service);
            Some(Rc::from_raw(service))
        }
    }
}

impl<'a, T> Ref<'a, T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null(), PhantomData)
    }

    /// What it points to.
    ///
    /// # Errors
    /// [`Error::Null`].
    pub fn get(self) -> Result<&'a T, Error> {
        // SAFETY: C has it from `Given::new`, and says that it was not freed.
        unsafe { self.0.as_ref() }.ok_or(Error::Null)
    }
}

/// A handle that C owns, and gives back in the end.
#[repr(transparent)]
pub struct Given<T>(*mut T);

impl<T> fmt::Debug for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Given<T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null_mut())
    }

    /// Gives a value away.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Box::into_raw(Box::new(value)))
    }

    /// The handle as other calls take it.
    #[must_use]
    pub fn lend(&self) -> Ref<'_, T> {
        Ref(self.0, PhantomData)
    }

    /// Takes the value back. `None` for NULL.
    #[must_use]
    pub fn take(self) -> Option<Box<T>> {
        // SAFETY: C has it from `new`, and says that this is the only time that it gives it back.
        (!self.0.is_null()).then(|| unsafe { Box::from_raw(self.0) })
    }
}

/// A pointer to a value of C that is read and written.
#[repr(transparent)]
pub struct InOut<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> fmt::Debug for InOut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, T> From<&'a mut T> for InOut<'a, T> {
    fn from(value: &'a mut T) -> Self {
        Self(value, PhantomData)
    }
}

impl<T> InOut<'_, T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null_mut(), PhantomData)
    }
}

impl<T: Plain> InOut<'_, T> {
    /// The value.
    ///
    /// # Errors
    /// [`Error::Null`], or [`Error::Argument`] if the pointer cannot be one to such a value.
    pub fn get(&self) -> Result<T, Error> {
        In::<T>(self.0, PhantomData).get().copied()
    }

    /// Writes the value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn put(&self, value: T) -> Result<(), Error> {
        Out(self.0, PhantomData).put(value)
    }
}

/// A handle that C owns one count of, and gives back in the end.
#[repr(transparent)]
pub struct Counted<T>(*const T);

impl<T> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Counted<T> {
    /// NULL.
    #[must_use]
    pub const fn null() -> Self {
        Self(std::ptr::null())
    }

    /// Gives a count away.
    #[must_use]
    pub fn new(value: Rc<T>) -> Self {
        Self(Rc::into_raw(value))
    }

    /// The handle as other calls take it.
    #[must_use]
    pub fn lend(&self) -> Ref<'_, T> {
        Ref(self.0, PhantomData)
    }

    /// Another count, as the library takes one for each call: for tests.
    #[must_use]
    pub fn again(&self) -> Self {
        // SAFETY: it is from `new`, and was not taken back, as that takes the handle by value.
        unsafe { Rc::increment_strong_count(self.0) };
        Self(self.0)
    }

    /// Takes the count back. `None` for NULL.
    #[must_use]
    pub fn take(self) -> Option<Rc<T>> {
        // SAFETY: C has it from `new`, and says that this is the only time that it gives it back.
        (!self.0.is_null()).then(|| unsafe { Rc::from_raw(self.0) })
    }
}

/// A handle as a program passes it to another thread: for tests of what that answers.
pub struct Shared<T>(*const T);

// SAFETY: the other thread is refused before anything but the name of its own thread is read, unless the service belongs to it.
unsafe impl<T> Send for Shared<T> {}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Shared<T> {
    /// The handle must outlive this.
    #[must_use]
    pub fn new(handle: &Counted<T>) -> Self {
        Self(handle.0)
    }

    /// The handle as calls take it.
    #[must_use]
    pub fn get(&self) -> Ref<'_, T> {
        Ref(self.0, PhantomData)
    }
}

/// A pointer of the program, which is handed back to it and never looked at.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct User(pub *mut c_void);

impl User {
    /// NULL.
    pub const NULL: Self = Self(std::ptr::null_mut());
}

/// Microseconds of the system's clock that never goes back. The C library's own call: a shared library that looks for the kernel's
/// page by itself finds no program around it.
pub(crate) fn monotonic_us() -> u64 {
    let mut shown = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec` to the address that it gets. It fails for a clock that the system lacks, and every system has this one.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut shown) };
    // Neither is negative.
    shown.tv_sec.unsigned_abs() * 1_000_000 + shown.tv_nsec.unsigned_abs() / 1_000
}

/// Tells a process from its children by fork(2), without a system call for each question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(NonZeroU32);

/// The process that has loaded this library is the first, and a child is one more than its parent.
static PROCESS: AtomicU32 = AtomicU32::new(1);

impl Process {
    /// This process. What it is compared with has to be from here, too, as the first call begins to count.
    #[inline]
    pub(crate) fn current() -> Self {
        static COUNTS: Once = Once::new();
        if !COUNTS.is_completed() {
            COUNTS.call_once(|| {
                // SAFETY: the handler touches nothing but an atomic number, which a child may do whatever other threads of its parent were
                // at. It is there as long as the program, as the library is never unloaded. Where there is no memory for it, hosts find
                // out by themselves.
                unsafe { libc::pthread_atfork(None, None, Some(forked)) };
            });
        }
        Self::counted().unwrap_or(Self(NonZeroU32::MAX))
    }

    /// This process. Always something, until 2^32 processes have followed on each other.
    fn counted() -> Option<Self> {
        NonZeroU32::new(PROCESS.load(Ordering::Relaxed)).map(Self)
    }

    /// Whether this is the process that there is.
    #[inline]
    pub(crate) fn is_current(this: Option<Self>) -> bool {
        this.map_or(0, |this| this.0.get()) == PROCESS.load(Ordering::Relaxed)
    }
}

/// Runs in the child before `fork` returns there.
extern "C" fn forked() {
    PROCESS.fetch_add(1, Ordering::Relaxed);
}

/// What tells the threads of the process apart that run now: an address that each has of its own. Asked by every call of C, so it is the
/// thread pointer itself where that can be read.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[inline]
pub(crate) fn this_thread() -> usize {
    let pointer: usize;
    // SAFETY: the first word of a thread's control block, which every thread of this system has, is the block's own address.
    unsafe {
        std::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(pure, readonly, nostack, preserves_flags));
    }
    pointer
}

/// What tells the threads of the process apart that run now: the address of something that each has of its own.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn this_thread() -> usize {
    thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// The descriptor with a number, which C gives away.
///
/// # Errors
/// [`Error::Argument`] if there can be none.
pub(crate) fn own_descriptor(fd: RawFd) -> Result<OwnedFd, Error> {
    if fd < 0 {
        return Err(Error::Argument);
    }
    // SAFETY: C says that it is open, and that nothing else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A loop of libuv that C owns.
///
/// # Errors
/// [`Error::Null`].
#[cfg(feature = "uv")]
pub(crate) fn uv_loop(raw: Ref<'_, lws_loop_uv::RawLoop>) -> Result<lws_loop_uv::LoopRef, Error> {
    let raw = NonNull::new(raw.0.cast_mut()).ok_or(Error::Null)?;
    // SAFETY: the header says what C keeps to: the loop is initialised and of this thread, is not run from inside a callback of ours,
    // and is closed after the service has been detached.
    Ok(unsafe { lws_loop_uv::LoopRef::from_raw(raw) })
}

/// A loop of a test, as C would pass it: lent for as long as the loop is there.
#[cfg(all(feature = "uv", feature = "conformance"))]
#[must_use]
pub fn lend_uv(uv_loop: &lws_loop_uv::UvLoop) -> Ref<'_, lws_loop_uv::RawLoop> {
    Ref(uv_loop.as_raw(), PhantomData)
}

/// The libuv whose functions `find` knows by their names.
#[cfg(feature = "uv")]
pub(crate) fn uv_library(
    find: host::FindCall,
    user: User,
) -> Result<lws_loop_uv::Library, lws_loop_uv::LibraryError> {
    // SAFETY: the header says what C keeps to: what it answers are the functions of one libuv, which stays.
    unsafe { lws_loop_uv::Library::find(|name| find(user, name.as_ptr()).0.cast_const()) }
}

/// A loop of a libuv that C has brought, and the version that C says it is of.
///
/// # Errors
/// [`Error::Null`], and inside it that the functions are of another version.
#[cfg(feature = "uv")]
pub(crate) fn uv_loop_of(
    library: &lws_loop_uv::Library,
    raw: Ref<'_, lws_loop_uv::RawLoop>,
    version: u32,
) -> Result<Result<lws_loop_uv::LoopRef, lws_loop_uv::LibraryError>, Error> {
    let raw = NonNull::new(raw.0.cast_mut()).ok_or(Error::Null)?;
    // SAFETY: as of `uv_loop`, and the loop was made by the libuv of these functions.
    Ok(unsafe { lws_loop_uv::LoopRef::of_version(library, raw, version) })
}

/// What a callback of C is lent, without its lifetimes.
#[derive(Clone, Copy)]
pub(crate) struct Erased(NonNull<c_void>);

impl Erased {
    /// The caller sees to it that nothing is left of this when the call is over, and that nothing else uses the call meanwhile: see
    /// `CallSlot`.
    pub(crate) fn new(call: &mut Call<'_, '_>) -> Self {
        Self(NonNull::from(call).cast())
    }

    /// Uses what is lent. The call must be right for every lifetime, so that it can keep nothing of it.
    pub(crate) fn with<R>(self, call: impl for<'c, 'a> FnOnce(&mut Call<'c, 'a>) -> R) -> R {
        // SAFETY: the slot lets go of this before the call that it was made of is over, and hands it out to one user at a time.
        call(unsafe { self.0.cast::<Call<'_, '_>>().as_mut() })
    }
}

// SAFETY: the header says of each function that takes one to another thread that the program has to be ready for that.
unsafe impl Send for User {}

/// A connection, and the event that it lends.
///
/// The event borrows the connection, which C cannot say. So the connection is reached only after the event was let go.
pub(crate) struct Lender {
    /// Invariant: it is let go before anything else reaches the connection.
    event: Option<Event<'static>>,
    /// From a box, and reached by nothing else while an event is there.
    connection: NonNull<Connection>,
}

impl Lender {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { event: None, connection: NonNull::from(Box::leak(Box::new(connection))) }
    }

    /// Lets go of the event, and lends the connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.event = None;
        // SAFETY: it is from a box that lives as long as this, and no event borrows it any more.
        unsafe { self.connection.as_mut() }
    }

    /// Keeps the next event, and shows it. What is shown cannot outlive the call.
    pub(crate) fn advance<R>(&mut self, show: impl FnOnce(&mut Event<'_>) -> R) -> Option<R> {
        let event = self.connection().next_event()?;
        // SAFETY: the event lives until the connection is reached again, which `connection` and `drop` see to. Nothing outside is shown a
        // lifetime that is longer than a call.
        let mut event = unsafe { std::mem::transmute::<Event<'_>, Event<'static>>(event) };
        let result = show(&mut event);
        self.event = Some(event);
        Some(result)
    }

    /// The event that was shown last, if nothing has reached the connection since then.
    pub(crate) fn take<R>(&mut self, take: impl for<'a> FnOnce(Event<'a>) -> R) -> Option<R> {
        self.event.take().map(take)
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.event = None;
        // SAFETY: it is from a box, and no event borrows it any more.
        drop(unsafe { Box::from_raw(self.connection.as_ptr()) });
    }
}
