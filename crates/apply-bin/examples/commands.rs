//! Prints `docs/commands.md`: `cargo run -p apply-bin --example commands > docs/commands.md`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let page = apply_ops::commands::page(&apply_layer::command_line());
    io::stdout().lock().write_all(page.as_bytes())
}
