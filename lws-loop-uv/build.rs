//! Finds the system's libuv.

fn main() {
    // 1.19 is the first with `uv_handle_set_data` and its like, which spare this crate every layout of a struct.
    if let Err(error) = pkg_config::Config::new().atleast_version("1.19").probe("libuv") {
        println!("cargo::error=libuv and its development files are needed (Debian: libuv1-dev): {error}");
    }
}
