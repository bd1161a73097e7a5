//! A file as a tree of values that know where they stand. Keys that occur twice are kept, in their order.

use crate::report::{Location, Report, Severity};
use crate::source::Source;
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// Levels of arrays and objects within each other, as in libwebsockets.
const DEPTH_MAX: usize = 64;

/// The grammar: JSON, and a comma behind the last element of an array. That of an object is found afterwards.
const GRAMMAR: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A value, and the offset of its first byte.
#[derive(Debug)]
pub(crate) struct Node {
    offset: usize,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// A string, a number, `true`, `false` or `null` as text: `1`, `0` and nothing for the last three.
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    /// Where the name stands.
    offset: usize,
    node: Node,
}

/// Parses the first value of a file. Nothing for an empty file, and for one with an error, which is reported.
pub(crate) fn parse(source: &Source, report: &mut Report) -> Option<Node> {
    let range = source.first_value();
    let text = &source.text()[range.clone()];
    if !source.text()[range.end..].trim().is_empty() {
        let rest =
            range.end + source.text()[range.end..].len() - source.text()[range.end..].trim_start().len();
        let message = "what follows the first value of a file is not read";
        report.add(Severity::Warning, Some(location(source, rest, String::new())), message);
    }
    match parse_to_ast(text, &CollectOptions::default(), &GRAMMAR) {
        Ok(parsed) => convert(source, &parsed.value?, DEPTH_MAX, report),
        Err(error) => {
            let at = location(source, error.range().start.min(text.len()), String::new());
            report.add(Severity::Error, Some(at), error.kind().to_string());
            None
        }
    }
}

fn convert(source: &Source, value: &ast::Value<'_>, depth: usize, report: &mut Report) -> Option<Node> {
    let range = value.range();
    let Some(below) = depth.checked_sub(1) else {
        let at = location(source, range.start, String::new());
        report.add(Severity::Error, Some(at), format!("more than {DEPTH_MAX} levels within each other"));
        return None;
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let value = match value {
        ast::Value::StringLit(literal) => text(&literal.value),
        ast::Value::NumberLit(literal) => text(literal.value),
        ast::Value::BooleanLit(literal) => text(if literal.value { "1" } else { "0" }),
        ast::Value::NullKeyword(_) => text(""),
        ast::Value::Array(array) => {
            let elements =
                array.elements.iter().filter_map(|element| convert(source, element, below, report));
            Value::Array(elements.collect())
        }
        ast::Value::Object(object) => {
            refuse_trailing_comma(source, object, report);
            let mut members = Vec::with_capacity(object.properties.len());
            for property in &object.properties {
                if let Some(node) = convert(source, &property.value, below, report) {
                    let name = property.name.as_str().to_owned();
                    members.push(Member { name, offset: property.range.start, node });
                }
            }
            Value::Object(members)
        }
    };
    Some(Node { offset: range.start, value })
}

/// A comma behind the last member of an object, which libwebsockets does not read.
fn refuse_trailing_comma(source: &Source, object: &ast::Object<'_>, report: &mut Report) {
    let Some(last) = object.properties.last() else { return };
    let end = last.range().end;
    if let Some(comma) = source.text()[end..object.range.end].find(',') {
        let at = location(source, end + comma, String::new());
        report.add(Severity::Error, Some(at), "a comma behind the last member of an object");
    }
}

fn location(source: &Source, offset: usize, pointer: String) -> Location {
    let (line, column) = source.line_and_column(offset);
    Location { file: source.name().to_owned(), line, column, pointer }
}

/// A value with the way that leads to it. The way is only put into words when something is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    node: &'a Node,
    above: Option<&'a Cursor<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member { name: &'a str, offset: usize },
    Element(usize),
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(source: &'a Source, node: &'a Node) -> Self {
        Self { source, node, above: None, step: Step::Root }
    }

    /// Where the value stands.
    pub(crate) fn location(&self) -> Location {
        self.locate(self.node.offset)
    }

    /// Where the name of a member stands; for anything else, the value.
    pub(crate) fn name_location(&self) -> Location {
        match self.step {
            Step::Member { offset, .. } => self.locate(offset),
            Step::Root | Step::Element(_) => self.location(),
        }
    }

    fn locate(&self, offset: usize) -> Location {
        let mut pointer = String::new();
        self.write_pointer(&mut pointer);
        location(self.source, offset, pointer)
    }

    fn write_pointer(&self, pointer: &mut String) {
        if let Some(above) = self.above {
            above.write_pointer(pointer);
        }
        match self.step {
            Step::Root => {}
            Step::Member { name, .. } => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Step::Element(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }

    /// The name of the member that this is; empty for anything else.
    pub(crate) fn name(&self) -> &'a str {
        match self.step {
            Step::Member { name, .. } => name,
            Step::Root | Step::Element(_) => "",
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        &self.node.value
    }

    /// Calls `member` for each member. Anything else than an object is reported.
    pub(crate) fn each_member(&self, report: &mut Report, mut member: impl FnMut(&Cursor<'_>, &mut Report)) {
        let Value::Object(members) = &self.node.value else {
            report.error(self, "an object is wanted here");
            return;
        };
        for Member { name, offset, node } in members {
            let step = Step::Member { name, offset: *offset };
            member(&Cursor { source: self.source, node, above: Some(self), step }, report);
        }
    }

    /// Calls `element` for each element. Anything else than an array is reported.
    pub(crate) fn each_element(
        &self,
        report: &mut Report,
        mut element: impl FnMut(&Cursor<'_>, &mut Report),
    ) {
        let Value::Array(elements) = &self.node.value else {
            report.error(self, "an array is wanted here");
            return;
        };
        for (index, node) in elements.iter().enumerate() {
            element(
                &Cursor { source: self.source, node, above: Some(self), step: Step::Element(index) },
                report,
            );
        }
    }
}
