//! The tables of `lwx_plugin.h`, and every call between the server and a library; every `unsafe` of the crate.
//!
//! That a library keeps to its header cannot be checked: it is code in this process, as a part of the program is. What can be checked is
//! checked once, when it is loaded: versions, sizes, and that what must be there is there.

use crate::codes::{E_ARGUMENT, E_LIMIT, E_NULL, E_PANIC};
use crate::frame;
use crate::load::RefusalReason;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The version of the interface.
const ABI: u32 = 1;
/// Protocols of one library.
const PROTOCOLS_MAX: u32 = 64;
/// Bytes of a table: far more than any version has.
const TABLE_BYTES_MAX: usize = 4_096;
/// Bytes of the name of a protocol.
const NAME_BYTES_MAX: usize = 128;
/// Bytes in which a plugin says what is wrong with a site.
const ERROR_BYTES: usize = 256;
/// Flags and kinds that this version knows.
const KINDS: u32 = WEBSOCKET | RAW | HTTP;
/// WebSockets.
pub(crate) const WEBSOCKET: u32 = 1;
/// Raw streams.
pub(crate) const RAW: u32 = 2;
/// Requests.
pub(crate) const HTTP: u32 = 4;
/// Field lines of one response.
const FIELDS_MAX: usize = 128;
/// Calls may overlap.
const CONCURRENT: u32 = 1;

/// Bytes that are lent.
#[repr(C)]
#[derive(Clone, Copy)]
struct Str {
    data: *const u8,
    size: usize,
}

impl Str {
    fn new(text: &str) -> Self {
        Self::octets(text.as_bytes())
    }

    fn octets(octets: &[u8]) -> Self {
        Self { data: octets.as_ptr(), size: octets.len() }
    }
}

/// A field line.
#[repr(C)]
struct FieldLine {
    name: Str,
    value: Str,
}

/// What a library may ask of the server.
#[repr(C)]
struct HostTable {
    size: usize,
    abi: u32,
    reserved: u32,
    write: extern "C" fn(u64, *const c_void, usize, u32) -> i32,
    budget: extern "C" fn(u64) -> usize,
    want_write: extern "C" fn(u64) -> i32,
    want_write_all: extern "C" fn(u64) -> i32,
    pause: extern "C" fn(u64, i32) -> i32,
    set_timer: extern "C" fn(u64, u64) -> i32,
    close: extern "C" fn(u64, u16, *const c_char, usize) -> i32,
    option: extern "C" fn(*const c_char, *mut Str) -> i32,
    respond: extern "C" fn(u64, u32, *const FieldLine, usize, *const c_void, usize, u32) -> i32,
    field: extern "C" fn(u64, *const c_char, usize, *mut Str) -> i32,
    limit_content: extern "C" fn(u64, u64) -> i32,
}

static HOST: HostTable = HostTable {
    size: size_of::<HostTable>(),
    abi: ABI,
    reserved: 0,
    write,
    budget,
    want_write,
    want_write_all,
    pause,
    set_timer,
    close,
    option,
    respond,
    field,
    limit_content,
};

#[repr(C)]
struct SiteTable {
    size: usize,
    name: Str,
    protocol: Str,
    options: Str,
}

#[repr(C)]
struct OpeningTable {
    size: usize,
    kind: u32,
    flags: u32,
    path: Str,
    query: Str,
    peer: Str,
    method: Str,
}

type SiteInit = unsafe extern "C" fn(*const SiteTable, *mut *mut c_void, *mut c_char) -> i32;
type SiteDestroy = unsafe extern "C" fn(*mut c_void);
type Open = unsafe extern "C" fn(u64, *const OpeningTable, *mut c_void, *mut *mut c_void) -> i32;
type Message = unsafe extern "C" fn(u64, *mut c_void, *const c_void, usize, u32) -> i32;
type Event = unsafe extern "C" fn(u64, *mut c_void) -> i32;
type Closed = unsafe extern "C" fn(*mut c_void, i32);

#[repr(C)]
#[derive(Clone, Copy)]
struct ProtocolTable {
    size: usize,
    name: *const c_char,
    kinds: u32,
    flags: u32,
    site_init: Option<SiteInit>,
    site_destroy: Option<SiteDestroy>,
    open: Option<Open>,
    message: Option<Message>,
    writable: Option<Event>,
    timer: Option<Event>,
    closed: Option<Closed>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PluginTable {
    size: usize,
    abi: u32,
    protocol_count: u32,
    protocols: *const *const ProtocolTable,
}

type Entry = unsafe extern "C" fn(*const HostTable) -> *const PluginTable;

/// Does what a function of the host table does. No panic crosses the edge.
fn guard(call: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(E_PANIC)
}

extern "C" fn write(session: u64, data: *const c_void, size: usize, flags: u32) -> i32 {
    guard(|| match lent(data.cast(), size) {
        Ok(bytes) => frame::write(session, bytes, flags),
        Err(code) => code,
    })
}

extern "C" fn budget(session: u64) -> usize {
    catch_unwind(|| frame::budget(session)).unwrap_or_default()
}

extern "C" fn want_write(session: u64) -> i32 {
    guard(|| frame::want_write(session, false))
}

extern "C" fn want_write_all(session: u64) -> i32 {
    guard(|| frame::want_write(session, true))
}

extern "C" fn pause(session: u64, paused: i32) -> i32 {
    guard(|| frame::pause(session, paused != 0))
}

extern "C" fn set_timer(session: u64, milliseconds: u64) -> i32 {
    guard(|| frame::set_timer(session, milliseconds))
}

extern "C" fn close(session: u64, code: u16, reason: *const c_char, size: usize) -> i32 {
    guard(|| match lent(reason.cast(), size) {
        Ok(reason) => frame::close(session, code, reason),
        Err(code) => code,
    })
}

extern "C" fn option(name: *const c_char, value: *mut Str) -> i32 {
    guard(|| {
        if name.is_null() || value.is_null() {
            return E_NULL;
        }
        // SAFETY: it is not NULL, and the header says that it is a terminated text.
        let name = unsafe { CStr::from_ptr(name) };
        // SAFETY: it is not NULL, and the header says that it is a place for one `lwx_str`.
        frame::option(name.to_bytes(), |text| unsafe { value.write(Str::new(text)) })
    })
}

extern "C" fn respond(
    session: u64,
    status: u32,
    fields: *const FieldLine,
    count: usize,
    data: *const c_void,
    size: usize,
    flags: u32,
) -> i32 {
    guard(|| {
        let answer = lent(data.cast(), size)
            .and_then(|content| Ok(frame::respond(session, status, &lines(fields, count)?, content, flags)));
        answer.unwrap_or_else(|code| code)
    })
}

/// The names and values of field lines, for as long as a call lends them.
type LentLines<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The names and values of an array of field lines.
fn lines<'a>(fields: *const FieldLine, count: usize) -> Result<LentLines<'a>, i32> {
    match (count, fields.is_null()) {
        (0, _) => return Ok(Vec::new()),
        (_, true) => return Err(E_NULL),
        _ if count > FIELDS_MAX => return Err(E_LIMIT),
        _ => {}
    }
    // SAFETY: the header says that so many are there until the call returns, of C's type and so aligned; they are at most `FIELDS_MAX`.
    let fields = unsafe { slice::from_raw_parts(fields, count) };
    let line = |field: &FieldLine| {
        Ok((lent(field.name.data, field.name.size)?, lent(field.value.data, field.value.size)?))
    };
    fields.iter().map(line).collect()
}

extern "C" fn field(session: u64, name: *const c_char, nth: usize, value: *mut Str) -> i32 {
    guard(|| {
        if name.is_null() || value.is_null() {
            return E_NULL;
        }
        // SAFETY: it is not NULL, and the header says that it is a terminated text.
        let name = unsafe { CStr::from_ptr(name) };
        // SAFETY: it is not NULL, and the header says that it is a place for one `lwx_str`.
        frame::field(session, name.to_bytes(), nth, |found| unsafe { value.write(Str::octets(found)) })
    })
}

extern "C" fn limit_content(session: u64, bytes: u64) -> i32 {
    guard(|| frame::limit_content(session, bytes))
}

/// The bytes of an argument. Of none the pointer does not count.
fn lent<'a>(data: *const u8, size: usize) -> Result<&'a [u8], i32> {
    match (size, data.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(E_NULL),
        (size, _) if isize::try_from(size).is_err() => Err(E_ARGUMENT),
        // SAFETY: the header says that so many bytes are there until the call returns, which those who use them do not outlive.
        (size, _) => Ok(unsafe { slice::from_raw_parts(data, size) }),
    }
}

/// Loads a library for ever, and reads its tables.
pub(crate) fn open(path: &Path) -> Result<Vec<ForeignProtocol>, RefusalReason> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // What the system says is the source of what the crate says.
    let refused = |error: libloading::Error| {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        RefusalReason::Open(why)
    };
    // SAFETY: who has put the file there wants its code to run, and no one else could, as `load.rs` has looked at.
    let library =
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) }.map_err(refused)?;
    // SAFETY: the header says that a function of this name has this type.
    let entry = unsafe { library.get::<Entry>(b"lwx_plugin_entry\0") }
        .map_err(|_| RefusalReason::NoPlugin("it has no lwx_plugin_entry"))?;
    let entry = *entry;
    // Its code may be in use from here on, so that it stays.
    std::mem::forget(library);
    // SAFETY: the table of the host lives for ever.
    let plugin = unsafe { entry(&raw const HOST) };
    protocols(plugin)
}

fn protocols(plugin: *const PluginTable) -> Result<Vec<ForeignProtocol>, RefusalReason> {
    if plugin.is_null() {
        return Err(RefusalReason::NoPlugin("lwx_plugin_entry has answered NULL"));
    }
    // SAFETY: both fields stand at the beginning of every version, and the header says that the table stays.
    let (bytes, abi) = unsafe { ((*plugin).size, (*plugin).abi) };
    if abi != ABI {
        return Err(RefusalReason::Version { of_plugin: abi, of_server: ABI });
    }
    let table = read(plugin, bytes, "lwx_plugin")?;
    if !(1..=PROTOCOLS_MAX).contains(&table.protocol_count) || table.protocols.is_null() {
        return Err(RefusalReason::NoPlugin("it has no protocols, or more than 64"));
    }
    // One for all of the library: its protocols share variables.
    let turn = Arc::new(Mutex::new(()));
    (0..table.protocol_count as usize)
        .map(|index| {
            // SAFETY: there are so many, the header says.
            let protocol = unsafe { *table.protocols.add(index) };
            ForeignProtocol::read(protocol, index, &turn)
        })
        .collect()
}

/// A table as far as this version knows it.
fn read<T: Copy>(table: *const T, bytes: usize, of: &'static str) -> Result<T, RefusalReason> {
    let known = size_of::<T>();
    if !(known..=TABLE_BYTES_MAX).contains(&bytes) {
        return Err(RefusalReason::Size { of, bytes });
    }
    // SAFETY: the table has so many bytes, as it says itself.
    let rest = unsafe { slice::from_raw_parts(table.cast::<u8>().add(known), bytes - known) };
    if rest.iter().any(|byte| *byte != 0) {
        return Err(RefusalReason::Size { of, bytes });
    }
    // SAFETY: all of it is there. It is made of numbers, pointers and optional functions, for which any bits will do.
    Ok(unsafe { table.read() })
}

/// What a library keeps of a site or a session. The server does nothing with it but give it back.
#[derive(Debug)]
pub(crate) struct UserPointer(*mut c_void);

// SAFETY: the server does not look behind it. The header says from which threads it comes back, and `turn` holds what it says.
unsafe impl Send for UserPointer {}
// SAFETY: as above.
unsafe impl Sync for UserPointer {}

/// What a session begins with.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) peer: String,
    pub(crate) method: String,
}

/// A protocol of a library.
pub(crate) struct ForeignProtocol {
    name: String,
    kinds: u32,
    site_init: SiteInit,
    site_destroy: SiteDestroy,
    open: Option<Open>,
    message: Message,
    writable: Option<Event>,
    timer: Option<Event>,
    closed: Option<Closed>,
    /// Held during each call, where calls must not overlap.
    turn: Option<Arc<Mutex<()>>>,
}

impl ForeignProtocol {
    fn read(table: *const ProtocolTable, index: usize, turn: &Arc<Mutex<()>>) -> Result<Self, RefusalReason> {
        let wrong = |problem| RefusalReason::Protocol { index, problem };
        if table.is_null() {
            return Err(wrong("is NULL"));
        }
        // SAFETY: the field stands at the beginning of every version, and the header says that the table stays.
        let bytes = unsafe { (*table).size };
        let table = read(table, bytes, "lwx_plugin_protocol")?;
        if table.name.is_null() {
            return Err(wrong("has no name"));
        }
        // SAFETY: it is not NULL, and the header says that it is a terminated text that stays.
        let name = unsafe { CStr::from_ptr(table.name) };
        let name = name.to_str().ok().filter(|name| is_name(name));
        let name = name.ok_or_else(|| wrong("has a name that is no token of up to 128 bytes"))?.to_owned();
        if table.kinds == 0 || table.kinds & !KINDS != 0 {
            return Err(wrong(
                "is for no kind of connection that this server knows, or for another one as well",
            ));
        }
        if table.flags & !CONCURRENT != 0 {
            return Err(wrong("has flags that this server does not know"));
        }
        let (Some(site_init), Some(site_destroy)) = (table.site_init, table.site_destroy) else {
            return Err(wrong("has no site_init or no site_destroy"));
        };
        let Some(message) = table.message else { return Err(wrong("has no message")) };
        if table.kinds & HTTP != 0 && table.open.is_none() {
            return Err(wrong("is for requests and has no open"));
        }
        Ok(Self {
            name,
            kinds: table.kinds,
            site_init,
            site_destroy,
            open: table.open,
            message,
            writable: table.writable,
            timer: table.timer,
            closed: table.closed,
            turn: (table.flags & CONCURRENT == 0).then(|| Arc::clone(turn)),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kinds(&self) -> u32 {
        self.kinds
    }

    /// Until it is dropped, no other call of the library runs that must not overlap.
    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        // There is nothing in it that a panic could leave half done.
        self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a site.
    ///
    /// # Errors
    /// The code that the library answers, and what it says about that.
    pub(crate) fn site_init(&self, name: &str, options: &str) -> Result<UserPointer, (i32, String)> {
        let site = SiteTable {
            size: size_of::<SiteTable>(),
            name: Str::new(name),
            protocol: Str::new(&self.name),
            options: Str::new(options),
        };
        let (mut user, mut error) = (ptr::null_mut(), [0_u8; ERROR_BYTES]);
        let turn = self.turn();
        // SAFETY: the arguments live until it returns, and the buffer has the size that the header says.
        let code = unsafe { (self.site_init)(&raw const site, &raw mut user, error.as_mut_ptr().cast()) };
        drop(turn);
        if code >= 0 {
            return Ok(UserPointer(user));
        }
        // What has overwritten the end of the buffer has also lost its NUL.
        let text = CStr::from_bytes_until_nul(&error).map(|text| text.to_string_lossy().into_owned());
        Err((code, text.unwrap_or_default()))
    }

    /// Ends a site.
    pub(crate) fn site_destroy(&self, site: &UserPointer) {
        let _turn = self.turn();
        // SAFETY: `site_init` has made it, and its owner calls this once, when there is no session left.
        unsafe { (self.site_destroy)(site.0) };
    }

    /// Begins a session.
    ///
    /// # Errors
    /// The code that the library answers: there is no session then.
    pub(crate) fn open(&self, key: u64, opening: &Opening, site: &UserPointer) -> Result<UserPointer, i32> {
        let mut user = ptr::null_mut();
        let Some(open) = self.open else { return Ok(UserPointer(user)) };
        let opening = OpeningTable {
            size: size_of::<OpeningTable>(),
            kind: opening.kind,
            flags: opening.flags,
            path: Str::new(&opening.path),
            query: Str::new(&opening.query),
            peer: Str::new(&opening.peer),
            method: Str::new(&opening.method),
        };
        let _turn = self.turn();
        // SAFETY: the arguments live until it returns; the site has not ended, as the session has a share of it.
        let code = unsafe { open(key, &raw const opening, site.0, &raw mut user) };
        if code < 0 { Err(code) } else { Ok(UserPointer(user)) }
    }

    /// Hands over what a peer has sent.
    pub(crate) fn message(&self, key: u64, user: &UserPointer, bytes: &[u8], flags: u32) -> i32 {
        let _turn = self.turn();
        // SAFETY: `open` has made the pointer, and `closed` has not been called; the bytes live until it returns.
        unsafe { (self.message)(key, user.0, bytes.as_ptr().cast(), bytes.len(), flags) }
    }

    /// The session may write.
    pub(crate) fn writable(&self, key: u64, user: &UserPointer) -> i32 {
        self.event(self.writable, key, user)
    }

    /// The time of the session has come.
    pub(crate) fn timer(&self, key: u64, user: &UserPointer) -> i32 {
        self.event(self.timer, key, user)
    }

    fn event(&self, event: Option<Event>, key: u64, user: &UserPointer) -> i32 {
        let Some(event) = event else { return 0 };
        let _turn = self.turn();
        // SAFETY: `open` has made the pointer, and `closed` has not been called.
        unsafe { event(key, user.0) }
    }

    /// Ends a session.
    pub(crate) fn closed(&self, user: &UserPointer, cause: i32) {
        let Some(closed) = self.closed else { return };
        let _turn = self.turn();
        // SAFETY: `open` has made it, and its owner calls this once.
        unsafe { closed(user.0, cause) };
    }
}

/// Whether it is a token of up to [`NAME_BYTES_MAX`] bytes, as `Sec-WebSocket-Protocol` takes.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && frame::is_token(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{CAUSE_ABORTED, E_AGAIN, E_FIELD, E_STALE, E_STATE, END, TEXT};
    use std::fmt::Write;
    use std::mem::offset_of;
    use std::process::Command;

    /// One line of C for each assertion about a struct: its size, and the offset of each member.
    macro_rules! layout {
        ($out:ident, $c:literal, $rust:ty, $($member:ident),*) => {
            writeln!($out, "SAME(sizeof({}), {});", $c, size_of::<$rust>()).expect("a line");
            $(
                let (name, offset) = (stringify!($member), offset_of!($rust, $member));
                writeln!($out, "SAME(offsetof({}, {name}), {offset});", $c).expect("a line");
            )*
        };
    }

    #[test]
    fn the_structs_and_numbers_of_the_header_are_those_of_rust() {
        let mut out = String::from(
            "#include \"lwx_plugin.h\"\n#define SAME(c, rust) _Static_assert((c) == (rust), #c \" is not \" #rust)\n",
        );
        layout!(
            out,
            "lwx_plugin_host",
            HostTable,
            size,
            abi,
            reserved,
            write,
            budget,
            want_write,
            want_write_all,
            pause,
            set_timer,
            close,
            option,
            respond,
            field,
            limit_content
        );
        layout!(out, "lwx_plugin_site", SiteTable, size, name, protocol, options);
        layout!(out, "lwx_plugin_opening", OpeningTable, size, kind, flags, path, query, peer, method);
        layout!(
            out,
            "lwx_plugin_protocol",
            ProtocolTable,
            size,
            name,
            kinds,
            flags,
            site_init,
            site_destroy,
            open,
            message,
            writable,
            timer,
            closed
        );
        layout!(out, "lwx_plugin", PluginTable, size, abi, protocol_count, protocols);
        layout!(out, "lwx_str", Str, data, size);
        layout!(out, "lwx_field", FieldLine, name, value);
        for (name, value) in [
            ("LWX_PLUGIN_ABI", ABI.into()),
            ("LWX_PLUGIN_WEBSOCKET", WEBSOCKET.into()),
            ("LWX_PLUGIN_RAW", RAW.into()),
            ("LWX_PLUGIN_HTTP", HTTP.into()),
            ("LWX_PLUGIN_FIELDS_MAX", FIELDS_MAX as i64),
            ("LWX_PLUGIN_CONCURRENT", CONCURRENT.into()),
            ("LWX_PLUGIN_ERROR_SIZE", ERROR_BYTES as i64),
            ("LWX_END", END.into()),
            ("LWX_TEXT", TEXT.into()),
            ("LWX_E_NULL", E_NULL.into()),
            ("LWX_E_ARGUMENT", E_ARGUMENT.into()),
            ("LWX_E_STALE", E_STALE.into()),
            ("LWX_E_AGAIN", E_AGAIN.into()),
            ("LWX_E_STATE", E_STATE.into()),
            ("LWX_E_FIELD", E_FIELD.into()),
            ("LWX_E_LIMIT", E_LIMIT.into()),
            ("LWX_E_PANIC", E_PANIC.into()),
            ("LWX_CAUSE_ABORTED", i64::from(CAUSE_ABORTED)),
        ] {
            writeln!(out, "SAME({name}, {value});").expect("a line");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = std::env::temp_dir().join(format!("lwx-plugin-layout-{}.c", std::process::id()));
        std::fs::write(&source, out).expect("a file");
        let status = Command::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"])
            .arg(format!("-I{}", root.join("include").display()))
            .arg(format!("-I{}", root.join("../lws-ffi/include").display()))
            .arg(&source)
            .status();
        let _ = std::fs::remove_file(&source);
        assert!(status.expect("a C compiler").success());
    }

    #[test]
    fn pointers_that_are_null_are_refused() {
        assert_eq!(write(1, ptr::null(), 1, 0), E_NULL);
        assert_eq!(write(1, ptr::null(), 0, 0), E_STALE);
        assert_eq!(write(1, ptr::dangling(), usize::MAX, 0), E_ARGUMENT);
        assert_eq!(close(1, 1_000, ptr::null(), 1), E_NULL);
        assert_eq!(option(ptr::null(), ptr::null_mut()), E_NULL);
        assert_eq!(field(1, ptr::null(), 0, ptr::null_mut()), E_NULL);
        assert_eq!(respond(1, 200, ptr::null(), 1, ptr::null(), 0, 0), E_NULL);
        assert_eq!(respond(1, 200, ptr::dangling(), FIELDS_MAX + 1, ptr::null(), 0, 0), E_LIMIT);
        assert_eq!(respond(1, 200, ptr::null(), 0, ptr::null(), 0, 0), E_STALE);
    }
}
