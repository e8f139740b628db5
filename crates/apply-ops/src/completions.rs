//! What shells and `man` want to know.

use super::output::{Done, print_as_it_is};
use apply_service::Failure;
use clap_complete::Shell;

pub(super) fn completions(shell: Shell, mut command_line: clap::Command) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line, "apply-layer", &mut script);
    print_as_it_is(&String::from_utf8_lossy(&script))
}

pub(super) fn man(command_line: clap::Command) -> Done {
    let mut page = Vec::new();
    clap_mangen::Man::new(command_line)
        .render(&mut page)
        .map_err(|error| Failure::mismatch(format!("the manual could not be written: {error}")))?;
    print_as_it_is(&String::from_utf8_lossy(&page))
}
