//! What a change alters: in a key, in a directory entry, in the store's settings.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// One setting that differs, in the form that JSON documents use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The name of the field in JSON.
    pub field: String,
    /// Its value before.
    pub old: Value,
    /// Its value after.
    pub new: Value,
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Difference", 3)?;
        object.serialize_field("field", &self.field)?;
        object.serialize_field("old", &self.old)?;
        object.serialize_field("new", &self.new)?;
        object.end()
    }
}
