//! Every function of the headers says what it does, where it is declared: an editor shows that and nothing else.

use std::path::Path;

/// The names of the functions that a header declares without a comment of documentation right above.
fn without_words(header: &str) -> (Vec<String>, usize) {
    let (mut missing, mut functions) = (Vec::new(), 0);
    let (mut documented, mut in_comment, mut in_braces) = (false, false, false);
    for line in header.lines().map(str::trim_end) {
        if let Some(rest) = line.trim_start().strip_prefix("/**") {
            (in_comment, documented) = (!rest.contains("*/"), true);
        } else if in_comment {
            in_comment = !line.contains("*/");
        } else if in_braces {
            in_braces = !line.starts_with('}');
        } else if line.ends_with('{') {
            // A struct, an enumeration, or the body of an inline function: what is within has no functions of the library.
            (in_braces, documented) = (!line.starts_with("extern"), false);
        } else if let Some(name) = declared(line) {
            functions += 1;
            if !documented {
                missing.push(name.to_owned());
            }
            documented = false;
        } else if !line.starts_with(' ') {
            // The second line of a declaration belongs to its first; anything else stands between a comment and what follows.
            documented = false;
        }
    }
    (missing, functions)
}

/// The function that a line begins to declare.
fn declared(line: &str) -> Option<&str> {
    if line.starts_with([' ', '#', '/', '*']) || line.starts_with("typedef") || line.starts_with("static") {
        return None;
    }
    let before = line.split_once('(')?.0;
    let name = before.rsplit([' ', '*']).next()?;
    name.starts_with("lwx_").then_some(name)
}

#[test]
fn every_function_of_the_headers_says_what_it_does() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut all = 0;
    for name in ["lwx.h", "lwx_base.h", "lwx_engine.h"] {
        let header = std::fs::read_to_string(include.join(name)).expect("a header");
        let (missing, functions) = without_words(&header);
        assert_eq!(missing, [""; 0], "{name}");
        all += functions;
    }
    let exported = include_str!("../lwx.symbols").lines().filter(|line| line.starts_with("lwx_")).count();
    assert_eq!(all, exported, "what the headers declare and the list of symbols");
}

#[test]
fn a_function_without_words_is_found() {
    let check = |header: &str, missing: &[&str]| assert_eq!(without_words(header).0, missing, "{header}");
    check("/** Says. */\nint32_t lwx_a(void);\nint32_t lwx_b(void);\n", &["lwx_b"]);
    check("/** Says,\n * twice. */\nint32_t lwx_a(int32_t a,\n              int32_t b);\n", &[]);
    check("/** A number. */\n#define LWX_N 1u\n\nconst char *lwx_a(void);\n", &["lwx_a"]);
    check(
        "/** A struct. */\ntypedef struct lwx_s {\n  void (*lwx_c)(void);\n} lwx_s;\nvoid lwx_a(lwx_s *s);\n",
        &["lwx_a"],
    );
    check("/* No documentation. */\nvoid lwx_a(void);\n", &["lwx_a"]);
}
