//! Servers whose requests are answered by scripts for the shell and for Python.

mod common;
mod ends;
mod fastcgi;
mod requests;
