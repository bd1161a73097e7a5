//! Tables of keys: what each object of a configuration may hold, and what becomes of it.
//!
//! One table reads an object, tells what a slip of the pen may have meant, and becomes a part of the schema for editors.

use crate::report::Severity;
use crate::scalar::Reader;
use crate::tree::Cursor;

pub(crate) mod acme;
pub(crate) mod global;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod vhost;

/// A key of an object that is read into a `T`.
pub(crate) struct Key<T: 'static> {
    pub(crate) name: &'static str,
    /// What it means, in a few words.
    pub(crate) meaning: &'static str,
    pub(crate) shape: Shape,
    pub(crate) action: Action<T>,
    /// Whether it may stand in one object more than once.
    pub(crate) repeatable: bool,
}

/// What becomes of the value of a key.
pub(crate) enum Action<T> {
    /// It is read.
    Read(fn(&mut T, &Cursor<'_>, &mut Reader<'_>)),
    /// It has no effect, for this reason.
    Ignored(&'static str),
    /// It cannot be had, for this reason.
    Refused(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Number,
    Switch,
    /// An array of objects whose members are texts.
    Pairs,
    Mounts,
    Protocols,
    /// A text, or an array of texts.
    Texts,
    /// The objects of `limits.rs`.
    Limits,
    Budgets,
    Peers,
    /// The object of `acme.rs`.
    Acme,
    Any,
}

impl<T> Key<T> {
    pub(crate) const fn read(
        name: &'static str,
        shape: Shape,
        meaning: &'static str,
        read: fn(&mut T, &Cursor<'_>, &mut Reader<'_>),
    ) -> Self {
        let repeatable = matches!(shape, Shape::Pairs | Shape::Mounts | Shape::Protocols | Shape::Texts);
        Self { name, meaning, shape, action: Action::Read(read), repeatable }
    }

    pub(crate) const fn ignored(name: &'static str, reason: &'static str) -> Self {
        Self { name, meaning: reason, shape: Shape::Any, action: Action::Ignored(reason), repeatable: true }
    }

    pub(crate) const fn refused(name: &'static str, reason: &'static str) -> Self {
        Self { name, meaning: reason, shape: Shape::Any, action: Action::Refused(reason), repeatable: true }
    }

    /// The key may stand in one object more than once.
    pub(crate) const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// Reads all members of an object by its table of keys.
pub(crate) fn read_object<T>(
    into: &mut T,
    at: &Cursor<'_>,
    keys: &'static [Key<T>],
    reader: &mut Reader<'_>,
) {
    let options = reader.options;
    let mut met: Vec<&'static str> = Vec::new();
    at.each_member(reader.report, |member, report| {
        let Some(key) = keys.iter().find(|key| key.name == member.name()) else {
            report.add(Severity::UnknownKey, Some(member.name_location()), unknown(member.name(), keys));
            return;
        };
        if met.contains(&key.name) && !key.repeatable {
            report.warning(member, format!("\"{}\" stands here twice; the last one counts", key.name));
        }
        met.push(key.name);
        match key.action {
            Action::Read(read) => read(into, member, &mut Reader { options, report }),
            Action::Ignored(reason) => {
                report.warning(member, format!("\"{}\" has no effect: {reason}", key.name))
            }
            Action::Refused(reason) => {
                report.error(member, format!("\"{}\" cannot be had: {reason}", key.name))
            }
        }
    });
}

/// What is said of a key that no table has.
pub(crate) fn unknown<T>(name: &str, keys: &'static [Key<T>]) -> String {
    match nearest(name, keys.iter().map(|key| key.name)) {
        Some(nearest) => format!("unknown key; did you mean \"{nearest}\"?"),
        None => "unknown key".to_owned(),
    }
}

/// The name that is so near to `name` that it is probably meant.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance =
        |other: &str| strsim::damerau_levenshtein(&name.replace('_', "-"), &other.replace('_', "-"));
    let (distance, nearest) = names.map(|other| (distance(other), other)).min()?;
    (distance <= name.len().min(nearest.len()) / 3).then_some(nearest)
}
