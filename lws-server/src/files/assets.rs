//! Files that are part of the program.

use super::entity::Entity;

/// An embedded file.
///
/// ```
/// use lws_server::files::{Asset, Files};
///
/// static PAGES: &[Asset] = &[Asset { path: "index.html", content: b"<!doctype html><title>Hello</title>" }];
/// let files = Files::assets(PAGES);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below the mount, without `/` in front.
    pub path: &'static str,
    /// Its bytes: `include_bytes!` gives them.
    pub content: &'static [u8],
}

/// Embedded files and what is said about them.
#[derive(Clone, Debug)]
pub(super) struct Assets(Vec<(Asset, Entity)>);

impl Assets {
    pub(super) fn new(assets: &'static [Asset]) -> Self {
        Self(assets.iter().map(|asset| (*asset, Entity::of_bytes(asset.path, asset.content))).collect())
    }

    pub(super) fn find(&self, name: &str) -> Option<(Entity, &'static [u8])> {
        let (asset, entity) = self.0.iter().find(|(asset, _)| asset.path == name)?;
        Some((entity.clone(), asset.content))
    }

    /// Whether files lie below `name`. `.` is the root.
    pub(super) fn is_directory(&self, name: &str) -> bool {
        name == "."
            || self
                .0
                .iter()
                .any(|(asset, _)| asset.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
    }
}
