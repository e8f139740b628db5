//! Prints `docs/metrics.md`.

fn main() {
    print!("{}", apply_wire::metric::page());
}
