//! Answers of the venue as they were recorded.

/// One answer: a JSON object with `endpoint` (`GET /fapi/v1/order`), `status`, `body`, and where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The name of its file.
    pub name: &'static str,
    /// The text of its file.
    pub json: &'static str,
}

macro_rules! recorded {
    ($($name:literal)*) => {
        const RECORDED: &[RecordedAnswer] = &[$(RecordedAnswer {
            name: $name,
            json: include_str!(concat!("../data/recorded/", $name, ".json")),
        }),*];
    };
}

recorded! {
    "al_cancel"
    "al_close_position"
    "al_finished"
    "al_open_demo"
    "al_open_xny"
    "al_post_demo"
    "ei_1000sats"
    "ei_aapl"
    "ei_btcusdt"
    "ei_cjk"
    "ei_settling"
    "ei_tem_cut"
    "ei_top"
    "ei_xauusdt_tradifi"
    "er_1008"
    "er_1022"
    "er_2010_dup"
    "er_2013"
    "er_2015"
    "er_2027"
    "er_4087"
    "er_4116"
    "er_4130"
    "er_4164"
    "er_4192"
    "er_4411"
    "er_4509"
    "er_451"
    "er_4531"
    "er_5000"
    "pi_btc"
    "po_ack_2026"
    "po_cancel_2026"
    "po_order_id_19"
    "po_result_2026_testnet"
    "po_test_order"
    "pr_exponent_entry"
    "pr_exponent_neighbours"
    "pr_v2_aapl_flat"
    "pr_v2_aapl_open"
    "pr_v3_doc"
    "pr_ws_doc_zero"
    "ut_2022"
    "ut_2026"
}

/// Every recorded answer, by name.
pub fn recorded_answers() -> &'static [RecordedAnswer] {
    RECORDED
}

/// The recorded answer of this name.
pub fn recorded_answer(name: &str) -> Option<&'static RecordedAnswer> {
    RECORDED.iter().find(|answer| answer.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_is_named_here_and_says_what_it_answers() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/recorded");
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut named: Vec<_> = files
            .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
            .collect();
        named.sort();
        let known: Vec<_> = RECORDED.iter().map(|answer| answer.name).collect();
        assert_eq!(known, named);
        let sources = include_str!("../data/recorded/SOURCES.md");
        for answer in RECORDED {
            let read: serde_json::Value = serde_json::from_str(answer.json).unwrap();
            assert!(
                read["endpoint"].as_str().unwrap().contains(" /fapi/"),
                "{}",
                answer.name
            );
            assert!(
                read["status"].is_u64() && !read["body"].is_null(),
                "{}",
                answer.name
            );
            assert!(
                sources.contains(&format!("| {}.json |", answer.name)),
                "{}",
                answer.name
            );
        }
    }
}
