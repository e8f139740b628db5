//! The users of `deploy/`, in the words of the server that is tested.

use redis::aio::MultiplexedConnection;
use redis_harness::RedisServer;
use std::path::Path;

/// The file of users: selectors came with 7.0.
///
/// # Panics
/// Where it cannot be read.
pub fn rules() -> String {
    let file = match RedisServer::version() < (7, 0) {
        true => "redis-6.2.acl",
        false => "redis.acl",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a user may do, as it stands in that file.
///
/// # Panics
/// Where it names no such user.
pub fn rule_of(user: &str) -> String {
    let rules = rules();
    let mut named = rules.lines().filter_map(named);
    let rule = named.find_map(|(name, rule)| (name == user).then(|| rule.to_owned()));
    rule.unwrap_or_else(|| panic!("no user {user} in deploy/"))
}

/// Gives the server every user of the file but the default one, with which a test does everything else.
///
/// # Panics
/// Where the server refuses one.
pub async fn load(redis: &mut MultiplexedConnection) {
    for (name, rule) in rules().lines().filter_map(named) {
        if name != "default" {
            set(redis, name, rule).await;
        }
    }
}

/// Gives the server this user, with these rights alone.
///
/// # Panics
/// Where the server refuses it.
pub async fn set(redis: &mut MultiplexedConnection, name: &str, rule: &str) {
    let mut command = redis::cmd("ACL");
    command
        .arg("SETUSER")
        .arg(name)
        .arg("reset")
        .arg(words(rule));
    let set = command.exec_async(redis).await;
    set.unwrap_or_else(|error| panic!("no user {name}: {error}"));
}

fn named(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("user ")?.split_once(' ')
}

/// The words of a rule; a selector in brackets is one word.
fn words(rule: &str) -> Vec<&str> {
    let (mut words, mut start, mut depth) = (Vec::new(), 0, 0);
    for (i, c) in rule.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 => {
                words.push(&rule[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    words.push(&rule[start..]);
    words
}
