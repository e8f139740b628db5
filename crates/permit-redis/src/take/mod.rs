//! The one atomic verb, in two ways: by script, and where scripts are forbidden by transaction.

mod on_node;
mod receipt;
mod request;
pub(crate) mod script;
mod switch;
mod transaction;

pub use request::MAX_HOLDER_BYTES;
pub(crate) use request::{Answer, Hold, Holder, HolderAt, TakeRequest, count, read};
pub use switch::OffWords;
pub(crate) use switch::Switch;
