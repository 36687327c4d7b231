//! The filter language of queries.
//!
//! Source: `Query/Language.hs`, `Query/Filter.hs`.

use serde_json::Value;

use super::failure::Failure;

/// A parsed and checked filter. luxid knows more operators; these are the ones that watchers use.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Everything passes.
    All,
    /// `&`: all of them.
    And(Vec<Filter>),
    /// `|`: one of them.
    Or(Vec<Filter>),
    /// `==`: the field is this value.
    Equal(String, Value),
    /// `=[]`: the field, a list, contains the value.
    Contains(String, Value),
}

impl Filter {
    /// Reads a filter as it crosses the wire; null lets everything pass.
    ///
    /// # Errors
    /// What is wrong with it, in the form in which luxid refuses a request.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let broken = || format!("Invalid filter: {value}");
        let parts = match value {
            Value::Null => return Ok(Self::All),
            Value::Array(parts) => parts.as_slice(),
            _ => return Err(broken()),
        };
        let Some((Value::String(operator), operands)) = parts.split_first() else {
            return Err(broken());
        };
        let each = || operands.iter().map(Self::parse).collect::<Result<Vec<_>, _>>();
        match (operator.as_str(), operands) {
            ("&", _) => Ok(Self::And(each()?)),
            ("|", _) => Ok(Self::Or(each()?)),
            ("==", [Value::String(field), value @ (Value::String(_) | Value::Number(_))]) => {
                Ok(Self::Equal(field.clone(), value.clone()))
            }
            ("=[]", [Value::String(field), value @ (Value::String(_) | Value::Number(_))]) => {
                Ok(Self::Contains(field.clone(), value.clone()))
            }
            _ => Err(broken()),
        }
    }

    /// The names that it asks for, when it asks for nothing else; an empty list when it lets everything pass.
    ///
    /// Source: `Query/Filter.hs: requestedNames`.
    #[must_use]
    pub fn requested_names(&self) -> Option<Vec<&str>> {
        match self {
            Self::All => Some(Vec::new()),
            Self::Or(filters) => {
                let names = filters.iter().map(Self::requested_names).collect::<Option<Vec<_>>>()?;
                Some(names.concat())
            }
            Self::Equal(field, Value::String(name)) if field == "name" => Some(vec![name]),
            _ => None,
        }
    }

    /// Texts one of which the field must equal for the filter to pass, if that can be derived: they rule out
    /// most rows cheaply.
    #[must_use]
    pub fn only(&self, wanted: &str) -> Option<Vec<&str>> {
        match self {
            Self::And(filters) => filters.iter().find_map(|filter| filter.only(wanted)),
            Self::Or(filters) => {
                let texts = filters.iter().map(|filter| filter.only(wanted)).collect::<Option<Vec<_>>>()?;
                Some(texts.concat())
            }
            Self::Equal(field, Value::String(text)) if field == wanted => Some(vec![text]),
            _ => None,
        }
    }

    /// Whether it looks at that field.
    #[must_use]
    pub fn mentions(&self, wanted: &str) -> bool {
        self.check(&|field| field != wanted).is_err()
    }

    /// Checks that every field is known to `knows`.
    ///
    /// # Errors
    /// luxid's error for the first unknown one.
    pub fn check(&self, knows: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        match self {
            Self::All => Ok(()),
            Self::And(filters) | Self::Or(filters) => {
                filters.iter().try_for_each(|filter| filter.check(knows))
            }
            Self::Equal(field, _) | Self::Contains(field, _) => {
                if knows(field) {
                    Ok(())
                } else {
                    Err(Failure::new("ParameterError", &format!("Can't find field named '{field}'")))
                }
            }
        }
    }

    /// Whether a row passes. `cell` returns a field's value, or `None` when there is no data: such a row
    /// passes.
    pub fn passes(&self, cell: &impl Fn(&str) -> Option<Value>) -> bool {
        match self {
            Self::All => true,
            Self::And(filters) => filters.iter().all(|filter| filter.passes(cell)),
            Self::Or(filters) => filters.iter().any(|filter| filter.passes(cell)),
            Self::Equal(field, wanted) => cell(field).is_none_or(|value| is_equal(field, &value, wanted)),
            Self::Contains(field, wanted) => {
                cell(field).is_none_or(|value| value.as_array().is_some_and(|values| values.contains(wanted)))
            }
        }
    }
}

fn is_equal(field: &str, value: &Value, wanted: &Value) -> bool {
    let is_host = ["name", "pnode"].contains(&field);
    let short =
        || value.as_str().zip(wanted.as_str()).is_some_and(|(name, short)| is_short_name(name, short));
    value == wanted || (is_host && short())
}

/// Whether the second is the first without its domain, or part of it.
pub(super) fn is_short_name(name: &str, short: &str) -> bool {
    name.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(filter: &Value) -> bool {
        let cell = |field: &str| match field {
            "name" => Some(json!("inst1.example.com")),
            "size" => Some(json!(7)),
            "tags" => Some(json!(["a", "b"])),
            _ => None,
        };
        Filter::parse(filter).unwrap().passes(&cell)
    }

    #[test]
    fn filters_select() {
        for (filter, expected) in [
            (json!(null), true),
            (json!(["==", "name", "inst1.example.com"]), true),
            (json!(["==", "name", "inst1"]), true),
            (json!(["==", "name", "inst"]), false),
            (json!(["==", "size", 8]), false),
            (json!(["|", ["==", "size", 5], ["==", "size", 7]]), true),
            (json!(["&", ["==", "size", 7], ["=[]", "tags", "c"]]), false),
            (json!(["=[]", "tags", "b"]), true),
            (json!(["==", "unset", "x"]), true),
        ] {
            assert_eq!(passes(&filter), expected, "{filter}");
        }
    }

    #[test]
    fn filters_tell_what_they_are_about() {
        let filter = |value| Filter::parse(&value).unwrap();
        let names = filter(json!(["|", ["==", "name", "a"], ["==", "name", "b"]]));
        assert_eq!(names.requested_names(), Some(vec!["a", "b"]));
        assert_eq!(names.only("name"), Some(vec!["a", "b"]));
        let more = filter(json!(["&", ["=[]", "tags", "b"], ["==", "name", "a"]]));
        assert_eq!((more.requested_names(), more.only("name")), (None, Some(vec!["a"])));
        assert!(more.mentions("tags") && !more.mentions("size"));
        let other = filter(json!(["|", ["=[]", "tags", "b"], ["==", "name", "a"]]));
        assert_eq!((other.requested_names(), other.only("name")), (None, None));
        assert_eq!(Filter::All.requested_names(), Some(vec![]));
    }

    #[test]
    fn broken_filters_are_refused() {
        for filter in
            [json!(["=="]), json!("x"), json!(["==", "name", null]), json!(["~~", "a", "b"]), json!([])]
        {
            assert!(Filter::parse(&filter).is_err(), "{filter}");
        }
        let filter = Filter::parse(&json!(["&", ["==", "nofield", 1]])).unwrap();
        let failure = filter.check(&|field| field == "name").unwrap_err();
        assert_eq!(failure.encode(), json!(["ParameterError", ["Can't find field named 'nofield'"]]));
    }
}
