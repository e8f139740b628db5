//! Prints the tables of settings that stand in `docs/configuration.md` and `docs/reviewers.md`.

use apply_wire::setting::{Reader, table};

fn main() {
    println!("{}\n{}", table(Reader::Service), table(Reader::Reviewers));
}
