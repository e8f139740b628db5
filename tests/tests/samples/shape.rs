//! What of an output stays the same from run to run: words, counts, codes and columns. Times, ids and places do not.

use regex::Regex;
use std::sync::LazyLock;

/// A bar of a histogram of times.
const BAR: &str = "<bar>";

/// What differs between two runs, and what stands in its place.
static DIFFERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z", "<moment>"),
        (r"^ *(<|>=) *[\d.]+ (ms|s) .*$", BAR),
        (r"\b[0-9a-f]{16}\b", "<id>"),
        (r"\b\d{10,}(\.\d+)?\b", "<number>"),
        (r"(ttl|took_us|wait_ms|waited_ms)=-?\d+", "$1=<number>"),
        (r"\bby=\w+", "by=<how>"),
        // Who halted depends on the machine.
        (r"by [^():]+: ", "by <who>: "),
        (r"\b\d+(\.\d+)? ?(us|µs|ms|s|min|h)\b", "<time>"),
        (r"\bRedis \d+\.\d+\.\d+", "Redis <version>"),
        (r" +", " "),
    ]
    .map(|(pattern, instead)| (Regex::new(pattern).unwrap(), instead))
    .into()
});

/// The shape of a line.
pub(crate) fn shape(line: &str) -> String {
    let mut line = line.trim_end().to_owned();
    for (differs, instead) in DIFFERS.iter() {
        line = differs.replace_all(&line, *instead).into_owned();
    }
    line
}

/// Whether what was printed has the shape of a sample. A line `…` of the sample stands for any lines, one that ends
/// with it for anything that begins so.
pub(crate) fn fits(sample: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = sample.split_first() else {
        return printed.iter().all(|line| line.trim().is_empty());
    };
    if first.trim() == "…" {
        return (0..=printed.len()).any(|from| fits(rest, &printed[from..]));
    }
    if shape(first) == BAR {
        // Where the times of one run fall says nothing of another.
        let bars = |lines: &[String]| lines.iter().take_while(|line| shape(line) == BAR).count();
        let (ours, theirs) = (bars(sample), bars(printed));
        return theirs > 0 && fits(&sample[ours..], &printed[theirs..]);
    }
    let Some((line, others)) = printed.split_first() else {
        return false;
    };
    let alike = match first.trim_end().strip_suffix('…') {
        Some(beginning) => {
            let cut: String = line.chars().take(beginning.chars().count()).collect();
            shape(line).starts_with(&shape(beginning)) || shape(&cut) == shape(beginning)
        }
        None => shape(first) == shape(line),
    };
    alike && fits(rest, others)
}

#[test]
fn words_and_counts_are_compared_and_times_and_ids_are_not() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let sample = lines("plans  2\nplan 67e6da21fa9fe506 took 305 ms\n…\nlast 1,2 …");
    let printed = "plans  2\nplan 89e6da21fa9fe506 took 1.2 s\nmore\nlast 1,2 and so on";
    assert!(fits(&sample, &lines(printed)));
    for (is, not) in [
        ("plans  2", "plans  3"),
        ("took", "took about"),
        ("last", "first"),
        ("ms", "pieces"),
    ] {
        let other = printed.replace("1.2 s", "1 ms").replace(is, not);
        assert!(!fits(&sample, &lines(&other)), "{other}");
    }
    assert!(!fits(&sample, &lines("plans  2")));
    assert!(!fits(&sample, &lines(&format!("{printed}\nand more"))));
}
