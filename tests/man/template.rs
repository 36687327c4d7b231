//! A text with gaps, to compare a message's form in the page with its form in the source, and with real
//! lines.

/// The stretches of text between the gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<String>);

impl Template {
    /// With empty gaps.
    pub(crate) fn empty() -> Self {
        Self(vec![String::new()])
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        self.0.last_mut().unwrap().push_str(text);
    }

    pub(crate) fn push_gap(&mut self) {
        self.0.push(String::new());
    }

    /// Cuts off a code in brackets at the end. In the source it can be a gap, and is empty then.
    pub(crate) fn cut_code(&mut self) -> Option<String> {
        if let [.., before, last] = self.0.as_mut_slice()
            && last == "]"
            && let Some(text) = before.strip_suffix(" [")
        {
            *before = text.to_owned();
            self.0.pop();
            return Some(String::new());
        }
        let last = self.0.last_mut().unwrap();
        let (text, code) = last.strip_suffix(']')?.rsplit_once('[')?;
        let code = code.to_owned();
        *last = text.trim_end().to_owned();
        Some(code)
    }

    /// Reads what `format!` takes: gaps are in braces.
    pub(crate) fn of_format(format: &str) -> Self {
        let mut template = Self::empty();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            template.push_text(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            rest = match after.strip_prefix(brace) {
                Some(after) => {
                    template.push_text(brace);
                    after
                }
                None => {
                    template.push_gap();
                    after.split_once('}').map_or("", |(_, after)| after)
                }
            };
        }
        template.push_text(rest);
        template
    }

    /// With something in the gaps.
    pub(crate) fn sample(&self) -> String {
        self.0.join("x")
    }

    /// How many of its letters are literal.
    pub(crate) fn letters(&self) -> usize {
        self.0.iter().flat_map(|part| part.chars()).filter(|letter| letter.is_alphabetic()).count()
    }

    /// Whether the text is this one with something in the gaps.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|whole| whole == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

#[test]
fn gaps_take_anything_and_the_rest_is_literal() {
    let template = Template::of_format("Not starting '{name}': {}; see {{x}}");
    assert_eq!(template.sample(), "Not starting 'x': x; see {x}");
    assert!(template.fits("Not starting 'i1': it's off; see {x}"));
    assert!(!template.fits("Not starting 'i1': it's off; see x"));
    assert!(!template.fits("WARNING Not starting 'i1': it's off; see {x}"));
    assert!(Template::of_format("as it is").fits("as it is"));
    assert!(!Template::of_format("as it is").fits("as it is."));
}
