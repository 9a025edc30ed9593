//! The `pyro` program: hands its arguments to the library beside it and ends with the code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    pyro_cli::main(std::env::args_os())
}
