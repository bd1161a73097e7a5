//! What has been drawn: commands in one order, of which the last are kept. Knows no connection.

use super::shared::State;
use lws_server::Time;
use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

/// Commands that are kept for those who come later.
const COMMANDS_MAX: usize = 20_000;
/// Commands that are taken from one message.
const COMMANDS_PER_MESSAGE_MAX: usize = 1_024;
/// Coordinates run from 0 to this.
const EXTENT: u16 = 9_999;
/// Bytes that one message of ours aims at.
const BATCH_BYTES: usize = 8 << 10;

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Command {
    Draw { colour: [u8; 6], points: [u16; 4] },
    Clear,
}

impl Command {
    /// `d #rrggbb X1 Y1 X2 Y2` or `c`, and nothing that only looks like it.
    fn parse(line: &str) -> Option<Self> {
        if line == "c" {
            return Some(Self::Clear);
        }
        let mut words = line.split(' ');
        let colour =
            words.next().filter(|word| *word == "d").and_then(|_| words.next())?.strip_prefix('#')?;
        let colour = <[u8; 6]>::try_from(colour.as_bytes()).ok()?;
        let mut points = [0; 4];
        for point in &mut points {
            *point = coordinate(words.next()?)?;
        }
        let valid = colour.iter().all(u8::is_ascii_hexdigit) && words.next().is_none();
        valid.then_some(Self::Draw { colour, points })
    }

    fn write(self, out: &mut String) {
        match self {
            Self::Clear => out.push('c'),
            Self::Draw { colour, points: [x1, y1, x2, y2] } => {
                out.push_str("d #");
                out.extend(colour.map(char::from));
                // A string takes whatever is written.
                let _ = write!(out, " {x1} {y1} {x2} {y2}");
            }
        }
    }
}

/// `1*4DIGIT`.
fn coordinate(word: &str) -> Option<u16> {
    let digits = !word.is_empty() && word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| digits && *number <= EXTENT)
}

/// The commands, numbered from the beginning of the program on.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// How often it was wiped: of two boards that differ in that, the later one counts.
    wipes: u64,
    /// The number of the first command that is kept.
    first: u64,
    commands: VecDeque<Command>,
}

/// The reader has missed commands that were dropped from the board, and needs them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Board {
    /// The number from which a new reader begins.
    pub(super) fn beginning(&self) -> u64 {
        self.first
    }

    /// Takes the commands of a message. Answers whether there were any.
    pub(super) fn take(&mut self, message: &str) -> bool {
        let mut any = false;
        for command in commands(message) {
            any = true;
            self.wipes += u64::from(command == Command::Clear);
            self.push(command);
        }
        any
    }

    fn push(&mut self, command: Command) {
        if command == Command::Clear {
            self.first += self.commands.len() as u64;
            self.commands.clear();
        }
        if self.commands.len() == COMMANDS_MAX {
            self.commands.pop_front();
            self.first += 1;
        }
        self.commands.push_back(command);
    }

    /// The commands from `next` on, as one message of reasonable size, and where to go on; `None` if there are no more.
    ///
    /// # Errors
    /// [`TooSlow`] if some before them were forgotten.
    pub(super) fn read(&self, next: u64) -> Result<Option<(String, u64)>, TooSlow> {
        let next = match self.commands.front() {
            // What was forgotten is wiped now anyway.
            Some(Command::Clear) => next.max(self.first),
            _ if next < self.first => return Err(TooSlow),
            _ => next,
        };
        let skip = usize::try_from(next - self.first).unwrap_or(usize::MAX);
        let mut batch = String::new();
        let mut read = next;
        for command in self.commands.iter().skip(skip) {
            if batch.len() >= BATCH_BYTES {
                break;
            }
            if !batch.is_empty() {
                batch.push('\n');
            }
            command.write(&mut batch);
            read += 1;
        }
        Ok((read > next).then_some((batch, read)))
    }
}

/// The commands of a message.
fn commands(message: &str) -> impl Iterator<Item = Command> {
    message.split('\n').take(COMMANDS_PER_MESSAGE_MAX).filter_map(Command::parse)
}

/// What of a message are commands, as a message. `None` if nothing is.
pub(super) fn valid(message: &str) -> Option<String> {
    let mut valid = String::new();
    for command in commands(message) {
        if !valid.is_empty() {
            valid.push('\n');
        }
        command.write(&mut valid);
    }
    (!valid.is_empty()).then_some(valid)
}

/// Segments of one colour lie on each other in the order in which they came, which may differ between processes: the same was drawn on all.
impl State for Board {
    fn apply(&mut self, message: &str, _: Time) -> bool {
        self.take(message)
    }

    fn merge(&mut self, part: &str, _: Time) -> bool {
        let (wipes, drawn) = part.split_once('\n').unwrap_or((part, ""));
        let Ok(wipes) = wipes.parse() else { return false };
        if wipes < self.wipes {
            return false;
        }
        let mut any = wipes > self.wipes;
        if any {
            self.wipes = wipes;
            self.push(Command::Clear);
        }
        let known: HashSet<_> = self.commands.iter().copied().collect();
        for command in commands(drawn).filter(|it| *it != Command::Clear && !known.contains(it)) {
            any = true;
            self.push(command);
        }
        any
    }

    fn parts(&self, _: Time) -> Vec<String> {
        let drawn: Vec<_> = self.commands.iter().filter(|it| **it != Command::Clear).collect();
        let part = |commands: &[&Command]| {
            let mut part = self.wipes.to_string();
            for command in commands {
                part.push('\n');
                command.write(&mut part);
            }
            part
        };
        match drawn.as_slice() {
            [] if self.wipes == 0 => Vec::new(),
            [] => vec![part(&[])],
            drawn => drawn.chunks(COMMANDS_PER_MESSAGE_MAX).map(part).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(messages: &[&str]) -> Board {
        let mut board = Board::default();
        for message in messages {
            board.take(message);
        }
        board
    }

    fn everything(board: &Board, mut next: u64) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(Some((batch, read))) = board.read(next) {
            lines.extend(batch.split('\n').map(String::from));
            next = read;
        }
        lines
    }

    #[test]
    fn valid_commands_come_back_in_order() {
        let board = board(&["d #00ffAA 0 1 9999 42\nc", "d #123456 7 7 7 7"]);
        assert_eq!(everything(&board, 0), ["c", "d #123456 7 7 7 7"]);
    }

    #[test]
    fn anything_else_is_left_out() {
        for line in [
            "",
            "x",
            "cc",
            "c ",
            "d",
            "d #12345 1 2 3 4",
            "d #12345g 1 2 3 4",
            "d 123456 1 2 3 4",
            "d #123456 1 2 3",
            "d #123456 1 2 3 4 5",
            "d #123456 -1 2 3 4",
            "d #123456 +1 2 3 4",
            "d #123456 10000 2 3 4",
            "d  #123456 1 2 3 4",
            "d #123456 1 2 3 4 ",
            "d #ääß 1 2 3 4",
        ] {
            assert!(!board(&[]).take(line), "{line:?}");
        }
    }

    #[test]
    fn a_slow_client_is_notified_unless_the_board_was_wiped_since() {
        let mut board = Board::default();
        let line = ["d #000000 1 2 3 4"; 1_000].join("\n");
        for _ in 0..21 {
            board.take(&line);
        }
        assert_eq!(board.read(0), Err(TooSlow));
        assert_eq!(everything(&board, board.beginning()).len(), COMMANDS_MAX);
        board.take("c\nd #000000 1 2 3 4");
        assert_eq!(everything(&board, 0), ["c", "d #000000 1 2 3 4"]);
    }

    #[test]
    fn a_message_takes_so_many_commands_and_no_more() {
        let mut board = Board::default();
        board.take(&["c"; COMMANDS_PER_MESSAGE_MAX + 1].join("\n"));
        assert_eq!(board.beginning(), COMMANDS_PER_MESSAGE_MAX as u64 - 1);
    }

    /// Each takes what the other has.
    fn meet(one: &mut Board, other: &mut Board) {
        let parts = one.parts(Time::ZERO);
        for part in other.parts(Time::ZERO) {
            one.merge(&part, Time::ZERO);
        }
        for part in parts {
            other.merge(&part, Time::ZERO);
        }
    }

    fn drawn(board: &Board) -> HashSet<Command> {
        board.commands.iter().copied().filter(|it| *it != Command::Clear).collect()
    }

    #[test]
    fn boards_that_have_met_show_the_same() {
        let (a, b) = ("d #000000 1 1 1 1", "d #ffffff 2 2 2 2");
        for (one, other, expected) in [
            (vec![a], vec![b], vec![a, b]),
            (vec![a], vec![], vec![a]),
            (vec![a, b], vec![a, b], vec![a, b]),
            // One was wiped: what the other has is older, whatever was drawn since.
            (vec![a, "c", b], vec![a], vec![b]),
            (vec![a, "c"], vec![a, b], vec![]),
            (vec!["c", a], vec!["c", b], vec![a, b]),
        ] {
            let (mut one, mut other, expected) = (board(&one), board(&other), board(&expected));
            meet(&mut one, &mut other);
            assert_eq!((drawn(&one), drawn(&other)), (drawn(&expected), drawn(&expected)));
            // Nothing is new a second time.
            assert!(one.parts(Time::ZERO).iter().all(|part| !other.merge(part, Time::ZERO)));
        }
    }

    #[test]
    fn a_full_board_goes_over_in_parts_and_those_who_look_see_what_came() {
        let mut full = Board::default();
        for number in 0..COMMANDS_MAX {
            full.take(&format!("d #000000 {} {} 0 0", number / 200, number % 200));
        }
        let mut late = Board::default();
        let beginning = late.beginning();
        let parts = full.parts(Time::ZERO);
        assert!(parts.iter().all(|part| part.len() < 64 << 10));
        parts.iter().for_each(|part| assert!(late.merge(part, Time::ZERO)));
        assert_eq!(everything(&late, beginning), everything(&full, 0));
        for wrong in ["", "x", "x\nd #000000 1 1 1 1", "-1", "0\nx"] {
            assert!(!late.merge(wrong, Time::ZERO), "{wrong}");
        }
    }

    #[test]
    fn of_a_message_its_commands_are_passed_on() {
        assert_eq!(valid("c\nx\nd #000000 1 1 1 1").as_deref(), Some("c\nd #000000 1 1 1 1"));
        for nothing in ["", "x", "? 1", "= 1\nx", "c "] {
            assert_eq!(valid(nothing), None, "{nothing}");
        }
    }
}
