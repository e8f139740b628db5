//! One entry of a stream, as a reader gets it.

use redis::Value;

/// A stream entry: its fields in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The server's id of it.
    pub id: String,
    /// Field and value.
    pub fields: Vec<(String, String)>,
}

impl Entry {
    /// A field's value.
    ///
    /// # Panics
    /// Where there is no such field.
    pub fn get(&self, field: &str) -> &str {
        self.find(field)
            .unwrap_or_else(|| panic!("no field {field} in {self:?}"))
    }

    /// A field's value, where it is there.
    pub fn find(&self, field: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(name, _)| name == field)
            .map(|(_, value)| value.as_str())
    }

    /// The fields' names.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The last entry of `steps_results`: where the position brain looks for what filled.
    ///
    /// # Panics
    /// Where the field is no JSON list, or an empty one.
    pub fn last_step(&self) -> serde_json::Value {
        let steps = self.get("steps_results");
        let steps: Vec<serde_json::Value> = serde_json::from_str(steps)
            .unwrap_or_else(|error| panic!("{steps} is no JSON list: {error}"));
        steps
            .last()
            .cloned()
            .unwrap_or_else(|| panic!("no step in {self:?}"))
    }

    /// The entries of an `XRANGE` reply.
    pub fn of_range(reply: Value) -> Vec<Self> {
        let Value::Array(entries) = reply else {
            return Vec::new();
        };
        entries.into_iter().map(Self::read).collect()
    }

    /// The entries of an `XREAD` or `XREADGROUP` reply about one stream; none where it timed out.
    pub fn of_read(reply: Value) -> Vec<Self> {
        let Value::Array(streams) = reply else {
            return Vec::new();
        };
        streams
            .into_iter()
            .flat_map(|stream| match stream {
                Value::Array(mut pair) => Self::of_range(pair.pop().unwrap_or(Value::Nil)),
                other => panic!("no stream: {other:?}"),
            })
            .collect()
    }

    fn read(entry: Value) -> Self {
        let (id, flat): (String, Vec<String>) = redis::from_redis_value(entry)
            .unwrap_or_else(|error| panic!("no stream entry: {error}"));
        let fields = flat
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect();
        Self { id, fields }
    }
}
