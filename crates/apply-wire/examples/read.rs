//! Reads a reason code and a kill switch as every program of the system does.

use apply_wire::{Class, Reason, key, kill_switch};

fn main() {
    let reason = Reason::parse("order_rejected:-2022");
    assert_eq!(reason, Reason::OrderRejected(-2022));
    assert_eq!(reason.class(), Class::Error);
    println!("{reason}: {:?}, {:?}", reason.class(), reason.sent());

    // What this version does not know is kept as it was.
    let unknown = Reason::parse("of_next_year");
    assert_eq!(unknown.to_string(), "of_next_year");

    assert!(kill_switch::read(b" No\n").is_off());
    assert!(!kill_switch::read(b"nope").is_off());
    println!("{}", key::PERMIT_P33.of("67e6da21fa9fe506"));
}
