//! What an operator sees: counters ([`Meters`]), their text for Prometheus, and the log ([`Log`]).

mod log;
mod meters;
mod origins;
mod suppression;

pub(crate) use log::{Decision, Log};
pub(crate) use meters::{Meters, Path, Totals, catalogue, exposition};
pub(crate) use origins::Origins;
