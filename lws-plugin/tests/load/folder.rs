//! A folder with libraries that are compiled there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own for plugins.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("lws-plugin-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a folder");
        fs::set_permissions(&root, Permissions::from_mode(0o755)).expect("it is ours");
        Self(root)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Compiles a library of this text, as strictly as a compiler can.
    pub(crate) fn compile(&self, file: &str, text: &str) -> PathBuf {
        let source = self.path(&format!("{file}.c"));
        fs::write(&source, text).expect("a file");
        self.compile_file(file, &source)
    }

    pub(crate) fn compile_file(&self, file: &str, source: &Path) -> PathBuf {
        self.compile_with("include", file, source)
    }

    /// Compiles a library with the header in a folder of this crate.
    pub(crate) fn compile_with(&self, header: &str, file: &str, source: &Path) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = self.path(file);
        let status = Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fPIC", "-shared", "-o"])
            .arg(&library)
            .arg(format!("-I{}", root.join(header).display()))
            .arg(format!("-I{}", root.join("../lws-ffi/include").display()))
            .arg(source)
            .status();
        assert!(status.expect("a C compiler").success(), "{file}");
        fs::set_permissions(&library, Permissions::from_mode(0o755)).expect("it is ours");
        library
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
