//! The program.

fn main() -> std::process::ExitCode {
    apply_layer::main()
}
