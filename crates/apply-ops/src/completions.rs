//! What shells want to know.

use super::output::{Done, print_as_it_is};
use clap_complete::Shell;

pub(super) fn completions(shell: Shell, mut command_line: clap::Command) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line, "apply-layer", &mut script);
    print_as_it_is(&String::from_utf8_lossy(&script))
}
