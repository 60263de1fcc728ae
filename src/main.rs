//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    strongroom::cli::main()
}
