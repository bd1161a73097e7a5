//! Checks that the code in `docs/embedding.md` is that of the files which it names.

use std::fs;
use std::path::Path;

/// The lines of `text` without indentation and empty lines.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The file that `line` names as the origin of the code below it.
fn origin(line: &str) -> Option<&str> {
    line.strip_prefix("From [`")?.split('`').next()
}

#[test]
fn every_block_stands_in_the_file_that_is_named_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/embedding.md")).expect("the page");
    let (mut file, mut blocks) = (None, 0);
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 0 {
            file = part.lines().filter_map(origin).next_back().or(file);
            continue;
        }
        let name = file.expect("a file above the block");
        let code = fs::read_to_string(root.join(name)).expect(name);
        let (_, block) = part.split_once('\n').expect("a language and a block");
        let (code, block) = (lines(&code), lines(block));
        assert!(code.windows(block.len()).any(|window| window == block), "not in {name}: {block:#?}");
        blocks += 1;
    }
    assert!(blocks >= 10, "{blocks} blocks were found");
}
