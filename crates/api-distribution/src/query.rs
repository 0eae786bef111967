//! Query strings and forms: `a=b&c=d` (application/x-www-form-urlencoded), with repeated names.

use http::request::Parts;
use percent_encoding::percent_decode_str;

/// Decoded names and values, in order.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a request.
    pub(crate) fn of(parts: &Parts) -> Query {
        Query::parse(parts.uri.query().unwrap_or(""))
    }

    /// The pairs of a text. What is not UTF-8 behind its percent signs becomes U+FFFD; nothing is refused.
    pub fn parse(text: &str) -> Query {
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Query(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_repeat_and_values_are_decoded() {
        let query = Query::parse("scope=a%3Ab&&scope=c+d&n=1&flag");
        assert_eq!(query.all("scope").collect::<Vec<_>>(), ["a:b", "c d"]);
        assert_eq!((query.get("n"), query.get("flag"), query.get("none")), (Some("1"), Some(""), None));
    }
}
