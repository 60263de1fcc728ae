//! Arguments in, exit code out.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// Overwrites whatever is freed: age, TLS and the like leave secrets in buffers that they give back.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    strongroom::base::memory::share_one_heap();
    strongroom::cli::main()
}
