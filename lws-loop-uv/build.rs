//! Finds the system's libuv, unless the functions are to come from elsewhere.

fn main() {
    #[cfg(feature = "linked")]
    // 1.19 is the first version whose numbers and functions this crate counts on.
    if let Err(error) = pkg_config::Config::new().atleast_version("1.19").probe("libuv") {
        println!("cargo::error=libuv and its development files are needed (Debian: libuv1-dev): {error}");
    }
}
