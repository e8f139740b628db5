//! The reviewers' part of the environment.

use super::Reader;
use apply_ops::review::ReviewConfig;
use permit_issuers::{
    governor::{Limits, Policy},
    position_brain,
};
use std::time::Duration;

impl Reader<'_> {
    pub(super) fn review(&mut self) -> ReviewConfig {
        let snapshot_max_age = self.seconds("REVIEW_SNAPSHOT_MAX_AGE_SEC");
        let limits = self.limits(snapshot_max_age);
        let words = [
            ("off", false),
            ("false", false),
            ("on", true),
            ("true", true),
        ];
        let limited = self.word("REVIEW_GOVERNOR_LIMITS", &words);
        ReviewConfig {
            policy: match limited {
                true => Policy::Limited(limits),
                false => Policy::ApproveAll,
            },
            brain: position_brain::Settings {
                snapshot_max_age,
                cooldown: self.seconds("REVIEW_COOLDOWN_SEC"),
            },
            snapshot_poll: self.snapshot_poll(snapshot_max_age),
            metrics_port: self
                .text("REVIEW_METRICS_PORT")
                .is_some()
                .then(|| self.number("REVIEW_METRICS_PORT")),
        }
    }

    fn limits(&mut self, snapshot_max_age: Duration) -> Limits {
        Limits {
            critical_kill_score: self.number("REVIEW_KILL_SCORE_CRITICAL"),
            per_hour: self.number("REVIEW_MAX_PER_HOUR"),
            per_five_minutes: self.number("REVIEW_MAX_PER_5MIN"),
            notional_per_day: self.number("REVIEW_MAX_NOTIONAL_PER_DAY"),
            quantity_per_day: self.number("REVIEW_MAX_QTY_PER_DAY"),
            snapshot_max_age,
        }
    }

    fn snapshot_poll(&mut self, max_age: Duration) -> Duration {
        let poll = self.seconds("REVIEW_SNAPSHOT_POLL_SEC");
        if poll >= max_age {
            self.wrong(
                "REVIEW_SNAPSHOT_POLL_SEC",
                "ask the venue more often than a snapshot becomes stale (REVIEW_SNAPSHOT_MAX_AGE_SEC)",
            );
        }
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mistakes, Settings};
    use super::*;

    fn resolve(vars: &[(&str, &str)]) -> Result<Settings, Mistakes> {
        let vars = vars.iter();
        let vars = vars
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Settings::resolve(&vars)
    }

    #[test]
    fn without_a_word_the_governor_approves_and_the_contracts_figures_hold() {
        let review = resolve(&[]).unwrap().review;
        assert_eq!(review.policy, Policy::ApproveAll);
        assert_eq!(review.brain, position_brain::Settings::default());
        assert_eq!(review.snapshot_poll, Duration::from_millis(1500));
        assert_eq!(review.metrics_port, None);
        let limited = resolve(&[("REVIEW_GOVERNOR_LIMITS", "on")]).unwrap();
        assert_eq!(limited.review.policy, Policy::Limited(Limits::default()));
    }

    #[test]
    fn limits_are_exact_and_every_mistake_is_reported() {
        let vars = [
            ("REVIEW_GOVERNOR_LIMITS", "on"),
            ("REVIEW_MAX_QTY_PER_DAY", "0.0300000000000000000001"),
        ];
        let Policy::Limited(limits) = resolve(&vars).unwrap().review.policy else {
            panic!("limits were turned on");
        };
        assert_eq!(
            limits.quantity_per_day.to_string(),
            "0.0300000000000000000001"
        );
        let wrong = [
            ("REVIEW_GOVERNOR_LIMITS", "maybe"),
            ("REVIEW_MAX_PER_HOUR", "-1"),
            ("REVIEW_MAX_NOTIONAL_PER_DAY", "nan"),
            ("REVIEW_KILL_SCORE_CRITICAL", "NaN"),
            ("REVIEW_COOLDOWN_SEC", "inf"),
            ("REVIEW_SNAPSHOT_POLL_SEC", "20"),
            ("REVIEW_METRICS_PORT", "70000"),
        ];
        let text = resolve(&wrong).unwrap_err().to_string();
        for (key, _) in wrong {
            assert!(text.contains(&format!("\n  {key}=")), "{key} in {text}");
        }
    }
}
