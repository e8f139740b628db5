//! The one atomic verb, in two ways: by script, and where scripts are forbidden by transaction.

mod on_node;
mod order;
mod receipt;
pub(crate) mod script;
mod switch;
mod transaction;

pub use order::MAX_HOLDER_BYTES;
pub(crate) use order::{Answer, Hold, Holder, HolderAt, Order, count, read};
pub use switch::OffWords;
pub(crate) use switch::Switch;
