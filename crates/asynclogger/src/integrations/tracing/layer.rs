//! Events and their spans as JSON.

use tracing_core::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::fields::{Fields, SpanFields, Values};
use crate::integrations::{Destination, json, scratch::with_scratch};

/// A [`Layer`] that makes one record of each event, a JSON object:
///
/// ```json
/// {"level":"INFO","target":"app::db","fields":{"message":"done","rows":3},"spans":[{"name":"request","id":7}]}
/// ```
///
/// `spans` has the spans around the event, the outermost first, and is missing if there are none. Values are numbers,
/// booleans and strings; other values are strings of their `Debug` form. An object longer than the log's
/// [`max_record`](crate::Logger::max_record) is dropped and counted.
#[derive(Clone, Debug)]
#[must_use]
pub struct JsonLayer {
    destination: Destination,
}

impl JsonLayer {
    /// A layer for a [`Logger`](crate::Logger), an [`EventLogger`](crate::EventLogger), or a [`Destination`].
    pub fn new(destination: impl Into<Destination>) -> JsonLayer {
        JsonLayer { destination: destination.into() }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut Values(&mut fields));
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Before the lock: a value's `Debug` may log within this span.
        let mut later = SpanFields::default();
        values.record(&mut Values(&mut later));
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            fields.merge(later);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        with_scratch(|out| {
            out.push(b'{');
            json::member(out, "level", metadata.level().as_str());
            json::member(out, "target", metadata.target());
            json::name(out, "fields");
            out.push(b'{');
            let mut fields = Fields::new(out, self.destination.field());
            event.record(&mut Values(&mut fields));
            let named = fields.found();
            out.push(b'}');
            if let Some(scope) = context.event_scope(event) {
                json::name(out, "spans");
                out.push(b'[');
                scope.from_root().for_each(|span| write_span(out, &span));
                out.push(b']');
            }
            out.push(b'}');
            self.destination.log(metadata.target(), named.as_deref(), out);
        });
    }
}

fn write_span<'a, R: LookupSpan<'a>>(out: &mut Vec<u8>, span: &SpanRef<'a, R>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
    out.push(b'{');
    json::member(out, "name", span.name());
    if let Some(fields) = span.extensions().get::<SpanFields>() {
        fields.write(out);
    }
    out.push(b'}');
}
