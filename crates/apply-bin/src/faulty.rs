//! The program as the fault matrix runs it: it can be made to die at a named step of a plan, and to
//! make a mistake on purpose. Never to be shipped; built only with the features that make it so.

fn main() -> std::process::ExitCode {
    apply_layer::main()
}
