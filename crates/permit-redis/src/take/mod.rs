//! The one atomic verb, in two ways: by script, and where scripts are forbidden by transaction.

mod order;
mod receipt;
pub(crate) mod script;
mod switch;
pub(crate) mod transaction;

pub use order::MAX_HOLDER_BYTES;
pub(crate) use order::{Answer, Hold, Holder, HolderAt, Order, Switch, read};
pub use switch::OffWords;
