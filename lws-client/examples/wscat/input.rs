//! What a person, or another program, writes: lines, and on a terminal commands among them.
//!
//! Reading blocks, so that it has a thread of its own. It knows no WebSocket.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use std::io::{self, BufRead, IsTerminal};
use std::sync::{Arc, Mutex};

/// Lines that a terminal remembers.
const HISTORY_LINES_MAX: usize = 1_000;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A message of the kind that was asked for.
    Line(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A Ping, with up to 125 bytes.
    Ping(String),
    /// The end, with a code and a reason.
    Close(u16, String),
    /// What is shown, as it was no command.
    Unknown(String),
}

/// What may be written on a terminal.
pub(crate) const COMMANDS: &str =
    "/ping [TEXT], /binary HEX, /close [CODE [REASON]]; a message that begins with / is written with //";

/// Reads a line of a terminal: a message, or behind a `/` a command.
pub(crate) fn parse(line: &str) -> Input {
    let Some(command) = line.strip_prefix('/') else { return Input::Line(line.to_owned()) };
    if command.starts_with('/') {
        return Input::Line(command.to_owned());
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    match name {
        "ping" => Input::Ping(rest.to_owned()),
        "binary" => octets(rest).map_or_else(|| Input::Unknown("/binary 00ff".to_owned()), Input::Binary),
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            match (code, code.parse()) {
                ("", _) => Input::Close(1000, String::new()),
                (_, Ok(code)) => Input::Close(code, reason.to_owned()),
                (_, Err(_)) => Input::Unknown("/close 1000 enough".to_owned()),
            }
        }
        _ => Input::Unknown(COMMANDS.to_owned()),
    }
}

/// Octets that are written in pairs of hexadecimal digits, with spaces wherever they help.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|it| *it != ' ').map(|it| it.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Where everything is read from.
pub(crate) enum Source {
    /// Lines as they are.
    Plain,
    /// A line that can be edited, with those before it.
    Terminal(Box<DefaultEditor>),
}

/// Where everything is written to, from another thread: above the line that is being edited, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Screen(Option<Arc<Mutex<dyn ExternalPrinter + Send>>>);

impl Screen {
    /// A line of what comes from the server.
    pub(crate) fn print(&self, line: &str) {
        match &self.0 {
            Some(printer) => Self::above(printer, line),
            None => println!("{line}"),
        }
    }

    /// A line about the connection.
    pub(crate) fn note(&self, line: &str) {
        match &self.0 {
            Some(printer) => Self::above(printer, line),
            None => eprintln!("{line}"),
        }
    }

    fn above(printer: &Mutex<dyn ExternalPrinter + Send>, line: &str) {
        if let Ok(mut printer) = printer.lock() {
            // A terminal that has gone shows nothing.
            let _ = printer.print(format!("{line}\n"));
        }
    }
}

/// How the terminal was before a line was edited on it, which it is again at the end: the thread that edits is not waited for.
pub(crate) struct Before(Option<Termios>);

impl Before {
    pub(crate) fn now() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// The input, and the output that goes with it: edited lines if both are a terminal.
pub(crate) fn open() -> (Source, Screen) {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return (Source::Plain, Screen::default());
    }
    let edited = || {
        let config = Config::builder().max_history_size(HISTORY_LINES_MAX)?.auto_add_history(true);
        let config = config.bracketed_paste(false).build();
        let mut editor = DefaultEditor::with_config(config)?;
        let printer = editor.create_external_printer()?;
        Ok::<_, ReadlineError>((
            Source::Terminal(Box::new(editor)),
            Screen(Some(Arc::new(Mutex::new(printer)))),
        ))
    };
    // A terminal that can do nothing gives lines as they are.
    edited().unwrap_or((Source::Plain, Screen::default()))
}

impl Source {
    /// Hands on everything, until there is no more or `take` wants no more.
    pub(crate) fn read(self, mut take: impl FnMut(Input) -> bool) {
        match self {
            Self::Plain => {
                let _ = io::stdin().lock().lines().map_while(Result::ok).all(|line| take(Input::Line(line)));
            }
            Self::Terminal(mut editor) => while editor.readline("> ").is_ok_and(|line| take(parse(&line))) {},
        }
    }
}
