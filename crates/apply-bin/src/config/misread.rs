//! Values that two readers of one file of settings would read differently: systemd's `EnvironmentFile=`, and a shell
//! that sources the file before a command. Such a value is refused wherever it is met, so that the service and a
//! command never work with two readings of one line.

use super::{Mistake, setting};
use apply_wire::setting::SETTINGS;
use permit_gate::foreign::{MAX_FOREIGN, escaped};
use std::collections::BTreeMap;

/// Paths that others set and that the state directory may come from. They may hold blanks: no file of settings
/// brings them.
const PATHS_OF_OTHERS: [&str; 3] = ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"];

/// What turning a switch and looking into the journal read.
pub(super) const OF_PLACE: [&str; 10] = [
    "APPLY_STATE_DIR",
    "APPLY_KILL_SWITCH_FILE",
    "REDIS_URL",
    "REDIS_URL_FILE",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_DB",
    "STATE_DIRECTORY",
    "XDG_STATE_HOME",
    "HOME",
];

/// Every variable of these whose value would be read differently. Values that came out of a file of their own are not
/// looked at: this has to be asked before those are read.
pub(super) fn misread(
    vars: &BTreeMap<String, String>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Mistake> {
    let ours = SETTINGS
        .iter()
        .flat_map(|setting| [Some(setting.name), setting.file])
        .flatten();
    let strict = ours.filter_map(|key| Some((key, fault(key, vars.get(key)?)?)));
    let others = PATHS_OF_OTHERS
        .into_iter()
        .filter_map(|key| Some((key, fault_of_path(vars.get(key)?)?)));
    let found = strict.chain(others).filter(|(key, _)| wanted(key));
    found
        .map(|(key, fix)| {
            let secret = SETTINGS.iter().any(|s| s.name == key && s.secret);
            let value = vars.get(key).map(String::as_str).unwrap_or_default();
            Mistake {
                key,
                value: match secret {
                    true => "(hidden)".into(),
                    false => escaped(&super::without_secrets(value), MAX_FOREIGN),
                },
                fix,
            }
        })
        .collect()
}

/// What is wrong with a setting's value, with the fix.
fn fault(key: &str, value: &str) -> Option<String> {
    // A private key in PEM has several lines: in quotes both readers keep them.
    let is_pem = value.starts_with("-----BEGIN");
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Some(
            "it is not UTF-8: systemd leaves such a line out, a shell keeps it; write it in UTF-8"
                .into(),
        );
    }
    if let Some(before) = before_comment(value) {
        return Some(comment(key, before));
    }
    let control = |c: char| c.is_control() && !(is_pem && c == '\n');
    if let Some(found) = value.chars().find(|c| control(*c)) {
        return Some(format!(
            "it holds the control character U+{:04X}, which systemd and a shell treat differently; take it away, and save the file with Unix line ends",
            u32::from(found)
        ));
    }
    if value.trim() != value && !is_pem {
        return Some(
            "it begins or ends with a blank, which one reader of the file keeps and another cuts; take the blank away"
                .into(),
        );
    }
    // A rule of a permit is parted from its key by a bar, and may ask for a text with blanks: in quotes both readers
    // keep them.
    let is_rule = |c: char| key == "APPLY_PERMITS" && matches!(c, '|' | ' ');
    let special = |c: char| "\"'\\$`;&|<>()".contains(c) || (c.is_whitespace() && !is_pem);
    let found = value.chars().find(|c| special(*c) && !is_rule(*c));
    if let Some(found) = found {
        let instead = instead_of(key, found);
        return Some(format!(
            "it holds {}, which systemd and a shell read differently; {instead}",
            named(found)
        ));
    }
    // A shell puts a home directory there.
    if value.starts_with('~') || value.contains(":~") {
        return Some(
            "a shell replaces ~ by a home directory, systemd does not; write the whole path".into(),
        );
    }
    None
}

/// The same for a path that the system gives, which may hold more.
fn fault_of_path(value: &str) -> Option<String> {
    let broken = value.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::is_control);
    if broken {
        return Some(
            "it holds a control character or is not UTF-8; set APPLY_STATE_DIR to another path"
                .into(),
        );
    }
    before_comment(value).map(|_| {
        "it looks like a path with a comment after it; set APPLY_STATE_DIR to the path alone".into()
    })
}

/// What stands before a comment, where there is one.
fn before_comment(value: &str) -> Option<&str> {
    let starts = value.match_indices('#').map(|(at, _)| at);
    starts
        .map(|at| &value[..at])
        .find(|before| before.is_empty() || before.ends_with(char::is_whitespace))
        .map(str::trim)
}

fn comment(key: &str, before: &str) -> String {
    let line = match setting_is_secret(key) {
        true => format!("{key}=…"),
        false => format!("{key}={before}"),
    };
    format!(
        "systemd keeps a comment behind a value as a part of it, a shell cuts it off; write {line} and put the comment on a line of its own"
    )
}

fn setting_is_secret(key: &str) -> bool {
    SETTINGS.iter().any(|s| s.name == key && s.secret)
}

fn named(found: char) -> String {
    match found {
        '"' | '\'' => format!("the quotation mark {found}"),
        c if c.is_whitespace() => "a blank".into(),
        c => format!("the character {c}"),
    }
}

fn instead_of(key: &str, found: char) -> String {
    let file = SETTINGS
        .iter()
        .any(|s| s.name == key)
        .then(|| setting(key).file)
        .flatten();
    match (file, found) {
        (_, '"' | '\'') => "write the value without quotation marks".into(),
        (Some(file), _) => {
            format!("put the value into a file of its own and name that file in {file}")
        }
        (None, c) if c.is_whitespace() => {
            "write it without blanks, parts of a list parted by commas alone".into()
        }
        (None, _) => "write it without this character".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn refused(key: &str, value: &str) -> Option<String> {
        let vars = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let mut found = misread(&vars, |_| true);
        assert!(found.len() <= 1);
        found.pop().map(|mistake| mistake.fix)
    }

    /// What a shell that sources this line hands to a command.
    fn by_a_shell(key: &str, line: &str) -> String {
        let file = std::env::temp_dir().join(format!("apply-line-{}", std::process::id()));
        std::fs::write(&file, format!("{line}\n")).unwrap();
        let script = format!(r#"set -a; . "$0" 2>/dev/null; printf '%s' "${key}""#);
        let shell = Command::new("sh")
            .args(["-c", &script])
            .arg(&file)
            .env_clear()
            .env("HOME", "/home/me")
            .current_dir("/")
            .output()
            .unwrap();
        std::fs::remove_file(&file).unwrap();
        String::from_utf8_lossy(&shell.stdout).into_owned()
    }

    /// Each line as systemd's `EnvironmentFile=` reads it (systemd.exec(5)) beside what a real shell makes of it. Where
    /// they differ, one of the two is refused.
    #[test]
    fn no_line_is_read_in_two_ways_and_accepted_in_both() {
        let key = "APPLY_STATE_DIR";
        for (text, by_systemd) in [
            ("/D/state   # the journal", "/D/state   # the journal"),
            ("# the journal", "# the journal"),
            ("/D/state#1", "/D/state#1"),
            ("\"/D/state\"", "/D/state"),
            ("'/D/state'", "/D/state"),
            ("/D/\"state\"", "/D/\"state\""),
            ("\"/D/state \"", "/D/state "),
            ("/D/state   ", "/D/state"),
            ("/D/state\r", "/D/state"),
            ("/D/$NAME", "/D/$NAME"),
            ("/D/`id`", "/D/`id`"),
            ("/D/a;b", "/D/a;b"),
            ("/D/a&b", "/D/a&b"),
            ("/D/a>b", "/D/a>b"),
            ("/D/a b", "/D/a b"),
            ("~/state", "~/state"),
            ("/D:~/state", "/D:~/state"),
            ("/D/state", "/D/state"),
        ] {
            let by_shell = by_a_shell(key, &format!("{key}={text}"));
            let alike = by_shell == by_systemd;
            let refused = refused(key, by_systemd).is_some() || refused(key, &by_shell).is_some();
            // An empty reading is no setting: the place stands beside the other one, which is refused.
            assert!(alike || refused, "{text}: {by_systemd:?} and {by_shell:?}");
        }
        assert_eq!(refused(key, "/D/state"), None);
        assert_eq!(refused(key, "/D/state#1"), None);
    }

    #[test]
    fn a_refusal_says_what_to_write_and_repeats_no_secret() {
        let message = refused("APPLY_STATE_DIR", "/D/state   # the journal").unwrap();
        assert!(
            message.contains("write APPLY_STATE_DIR=/D/state and"),
            "{message}"
        );
        for (key, value) in [
            ("BINANCE_TESTNET_API_SECRET", "hunter2 # mine"),
            ("REDIS_URL", "redis://me:hunter2$x@h/0"),
        ] {
            let vars = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let message = format!("{:?}", misread(&vars, |_| true));
            assert!(
                message.contains(key) && !message.contains("hunter2"),
                "{message}"
            );
        }
        let message = refused("REDIS_URL", "redis://h/0?a=1&b=2").unwrap();
        assert!(message.contains("REDIS_URL_FILE"), "{message}");
        let pem = "-----BEGIN PRIVATE KEY-----\nAB+/==\n-----END PRIVATE KEY-----\n";
        assert_eq!(refused("BINANCE_TESTNET_API_SECRET", pem), None);
        assert_eq!(refused("SYMBOLS", ""), None);
        let rule = "governor,p33,desk=desk:permit:{plan}|token:yes please";
        assert_eq!(refused("APPLY_PERMITS", rule), None);
        assert!(refused("APPLY_PERMITS", "governor,p33 # both").is_some());
    }

    #[test]
    fn paths_that_the_system_gives_may_hold_blanks_and_no_comment() {
        assert_eq!(refused("HOME", "/home/my self"), None);
        assert!(refused("STATE_DIRECTORY", "/D/state # the journal").is_some());
        assert!(refused("XDG_STATE_HOME", "/D\r").is_some());
        // A variable that no setting is read from is not checked.
        assert_eq!(
            refused("SSH_CONNECTION", "192.0.2.7 5000 192.0.2.1 22"),
            None
        );
    }

    #[test]
    fn every_setting_of_a_place_is_a_name_that_is_known() {
        for key in OF_PLACE {
            assert!(
                apply_wire::setting::names().any(|name| name == key),
                "{key}"
            );
        }
    }
}
