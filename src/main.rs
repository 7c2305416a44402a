//! The `postbud` program: see `postbud --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

// Queues and buffers of many sizes come and go on every thread. With jemalloc an idle connection
// holds less, and what a storm took is given back to the system. Set here, not in the library, so
// that benches can count with an allocator of their own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    postbud::cli::run()
}
