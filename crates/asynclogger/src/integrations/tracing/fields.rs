//! Fields of events and spans as members of a JSON object.

use std::{error::Error, fmt};

use tracing_core::field::{Field, Visit};

use crate::integrations::json;

/// Writes the fields of an event.
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    /// The field whose value names the event of a manager.
    wanted: Option<&'static str>,
    /// That value.
    found: Option<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, wanted: Option<&'static str>) -> Fields<'a> {
        Fields { out, wanted, found: None }
    }

    pub(super) fn found(self) -> Option<String> {
        self.found
    }
}

/// A place for the JSON value of each field.
pub(super) trait Places {
    fn place(&mut self, field: &Field) -> &mut Vec<u8>;

    /// Takes notice of a string.
    fn text(&mut self, _field: &Field, _value: &str) {}
}

/// Writes each field as a JSON value to its place.
pub(super) struct Values<'a, P>(pub(super) &'a mut P);

impl<P: Places> Visit for Values<'_, P> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        json::float(self.0.place(field), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        json::plain(self.0.place(field), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        json::plain(self.0.place(field), value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        json::plain(self.0.place(field), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        json::plain(self.0.place(field), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        json::plain(self.0.place(field), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.text(field, value);
        json::string(self.0.place(field), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        json::displayed(self.0.place(field), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        json::displayed(self.0.place(field), format_args!("{value:?}"));
    }
}

impl Places for Fields<'_> {
    fn place(&mut self, field: &Field) -> &mut Vec<u8> {
        json::name(self.out, field.name());
        self.out
    }

    fn text(&mut self, field: &Field, value: &str) {
        if self.wanted == Some(field.name()) {
            self.found = Some(value.to_owned());
        }
    }
}

/// The fields of a span, each as a JSON value. A field that is recorded again has its last value.
#[derive(Debug, Default)]
pub(super) struct SpanFields(Vec<(&'static str, Vec<u8>)>);

impl SpanFields {
    /// Writes the fields as members of an object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            json::name(out, name);
            out.extend_from_slice(value);
        }
    }

    /// Takes over fields that were recorded later.
    pub(super) fn merge(&mut self, later: SpanFields) {
        for (name, value) in later.0 {
            *self.place_of(name) = value;
        }
    }

    fn place_of(&mut self, name: &'static str) -> &mut Vec<u8> {
        let at = self.0.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.0.push((name, Vec::new()));
            self.0.len() - 1
        });
        let place = &mut self.0[at].1;
        place.clear();
        place
    }
}

impl Places for SpanFields {
    fn place(&mut self, field: &Field) -> &mut Vec<u8> {
        self.place_of(field.name())
    }
}
