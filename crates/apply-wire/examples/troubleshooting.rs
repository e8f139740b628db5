//! Prints `docs/troubleshooting.md`.

fn main() {
    print!("{}", apply_wire::troubleshooting());
}
