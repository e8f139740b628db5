//! `GET /fapi/v1/time`, weight 1, not signed.

use crate::{
    fields::{self, DecodeError, Field},
    time::VenueTime,
};
use serde::Deserialize;

pub(crate) const PATH: &str = "/fapi/v1/time";
pub(crate) const WEIGHT: u32 = 1;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "serverTime")]
    server_time: Field<'a>,
}

pub(crate) fn decode(body: &[u8]) -> Result<VenueTime, DecodeError> {
    let raw: Raw<'_> = fields::read("time", body)?;
    fields::time("serverTime", raw.server_time)
}
