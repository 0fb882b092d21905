//! Messages that another implementation has encoded.

use arrow_array::{
    ArrayRef, BinaryArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type},
};
use prost_reflect::{
    DynamicMessage, Value as Known,
    prost::Message as _,
    prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
        FileDescriptorProto, FileDescriptorSet, MessageOptions,
        field_descriptor_proto::{Label, Type},
    },
};

use super::*;

fn field(name: &str, number: i32, of: Type, repeated: bool, message: &str) -> FieldDescriptorProto {
    let label = if repeated { Label::Repeated } else { Label::Optional };
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(of.into()),
        type_name: (!message.is_empty()).then(|| message.into()),
        ..FieldDescriptorProto::default()
    }
}

fn message_type() -> MessageType {
    let entry = DescriptorProto {
        name: Some("CountsEntry".into()),
        field: vec![
            field("key", 1, Type::String, false, ""),
            field("value", 2, Type::Int32, false, ""),
        ],
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..DescriptorProto::default()
    };
    let request = DescriptorProto {
        name: Some("Request".into()),
        field: vec![
            field("user", 1, Type::String, false, ""),
            field("delta", 2, Type::Sint64, false, ""),
            field("small", 3, Type::Uint32, false, ""),
            field("score", 4, Type::Double, false, ""),
            field("scores", 5, Type::Int32, true, ""),
            field("names", 6, Type::String, true, ""),
            field("kind", 7, Type::Enum, false, ".p.Kind"),
            field("counts", 8, Type::Message, true, ".p.Request.CountsEntry"),
            field("next", 9, Type::Message, false, ".p.Request"),
            field("place", 10, Type::Message, false, ".p.Place"),
        ],
        nested_type: vec![entry],
        ..DescriptorProto::default()
    };
    let place = DescriptorProto {
        name: Some("Place".into()),
        field: vec![
            field("x", 1, Type::Sfixed32, false, ""),
            field("b", 2, Type::Bytes, false, ""),
        ],
        ..DescriptorProto::default()
    };
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let kind = EnumDescriptorProto {
        name: Some("Kind".into()),
        value: vec![value("NONE", 0), value("SEARCH", 1)],
        ..EnumDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("p.proto".into()),
        package: Some("p".into()),
        message_type: vec![request, place],
        enum_type: vec![kind],
        syntax: Some("proto3".into()),
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    assert_eq!(MessageType::new(&set, "p.Nothing").unwrap_err().kind(), ErrorKind::Descriptor);
    assert!(MessageType::new(b"\xff", "p.Request").is_err());
    MessageType::new(&set, "p.Request").unwrap()
}

fn column<'a>(message: &'a ArrayRef, name: &str) -> &'a ArrayRef {
    message.as_struct().column_by_name(name).unwrap()
}

#[test]
fn fields_become_columns() {
    let known = message_type();
    let new = || DynamicMessage::new(known.0.clone());
    let mut full = new();
    full.set_field_by_name("user", Known::String("u".into()));
    full.set_field_by_name("delta", Known::I64(-5));
    full.set_field_by_name("small", Known::U32(u32::MAX));
    full.set_field_by_name("score", Known::F64(0.5));
    full.set_field_by_name("scores", Known::List(vec![Known::I32(1), Known::I32(-2)]));
    let names = ["a", "b"].map(|name| Known::String(name.into())).to_vec();
    full.set_field_by_name("names", Known::List(names));
    full.set_field_by_name("kind", Known::EnumNumber(1));
    let counts = [(prost_reflect::MapKey::String("k".into()), Known::I32(7))];
    full.set_field_by_name("counts", Known::Map(counts.into_iter().collect()));
    let mut next = new();
    next.set_field_by_name("user", Known::String("v".into()));
    full.set_field_by_name("next", Known::Message(next));
    let place = known.0.get_field_by_name("place").unwrap();
    let mut at = DynamicMessage::new(place.kind().as_message().unwrap().clone());
    at.set_field_by_name("x", Known::I32(-3));
    full.set_field_by_name("place", Known::Message(at));
    let full = full.encode_to_vec();
    // A second occurrence of `place` with `b`, an unknown number of `kind`, an unknown field, and unpacked `scores`.
    let more: &[u8] = &[0x52, 3, 0x12, 1, 0xee, 0x38, 9, 0xf8, 0x06, 1, 0x28, 4, 0x28, 5];
    let merged = [&full, more].concat();
    let torn = &full[..full.len() - 1];
    let payload = [&full[..], b"", torn, &merged, b"\x08\x01"];
    let payload: BinaryArray = payload.into_iter().map(Some).collect();
    let mut messages = Messages::new(&known, false);
    let (found, good) = messages.decode(&payload).unwrap();
    assert_eq!(good, [true, true, false, true, false], "torn; a number where a text belongs");
    assert_eq!(found.data_type(), &messages.data_type());
    let nulls: Vec<bool> = (0..5).map(|row| found.is_null(row)).collect();
    assert_eq!(nulls, [false, false, true, false, true]);

    let text = |name: &str| -> Vec<Option<String>> {
        let texts = column(&found, name).as_string::<i32>();
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text("user"), [some("u"), some(""), None, some("u"), None]);
    assert_eq!(text("kind"), [some("SEARCH"), some("NONE"), None, some("9"), None]);
    let next = some(r#"{"user":"v"}"#);
    assert_eq!(text("next"), [next.clone(), None, None, next, None]);
    let delta = column(&found, "delta").as_primitive::<Int64Type>();
    assert_eq!(delta.iter().collect::<Vec<_>>(), [Some(-5), Some(0), None, Some(-5), None]);
    let small = column(&found, "small").as_primitive::<Int64Type>();
    assert_eq!(small.value(0), i64::from(u32::MAX));
    assert_eq!(column(&found, "score").as_primitive::<Float64Type>().value(0), 0.5);
    let scores = column(&found, "scores").as_list::<i32>();
    let scores: Vec<Option<Vec<i32>>> = scores
        .iter()
        .map(|row| row.map(|row| row.as_primitive::<Int32Type>().values().to_vec()))
        .collect();
    let expected = [Some(vec![1, -2]), Some(vec![]), None, Some(vec![1, -2, 4, 5]), None];
    assert_eq!(scores, expected);
    let counts = column(&found, "counts").as_map();
    assert_eq!((counts.value_length(0), counts.value_length(1), counts.is_null(2)), (1, 0, true));
    assert_eq!(counts.keys().as_string::<i32>().value(0), "k");
    assert_eq!(counts.values().as_primitive::<Int32Type>().value(0), 7);
    let place = column(&found, "place").as_struct();
    assert_eq!((place.is_null(0), place.is_null(1)), (false, true));
    let x = place.column_by_name("x").unwrap().as_primitive::<Int32Type>();
    let b = place.column_by_name("b").unwrap().as_binary::<i32>();
    assert_eq!((x.value(0), x.value(3), b.value(0), b.value(3)), (-3, -3, &b""[..], &b"\xee"[..]));

    let (texts, good) = Messages::new(&known, true).decode(&payload).unwrap();
    assert_eq!(good, [true, true, false, true, false]);
    assert_eq!(texts.as_string::<i32>().value(1), "{}");
    assert!(messages.decode(&payload).unwrap().0.len() == 5, "the column is empty after a batch");
}

/// Bytes of any kind are decoded or refused; what another implementation accepts is accepted.
#[test]
fn any_bytes_are_decoded_or_refused() {
    let known = message_type();
    let mut noise = 1u64;
    let mut messages = Messages::new(&known, false);
    let mut accepted = 0;
    for round in 0..20_000 {
        let bytes: Vec<u8> = (0..round % 24)
            .map(|_| {
                noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (noise >> 56) as u8 & if noise >> 33 & 1 == 0 { 0x5a } else { 0x0f }
            })
            .collect();
        let payload: BinaryArray = [Some(&bytes[..])].into_iter().collect();
        let (_, good) = messages.decode(&payload).unwrap();
        let theirs = DynamicMessage::decode(known.0.clone(), &bytes[..]).is_ok();
        accepted += usize::from(theirs && !bytes.is_empty());
        // Unknown groups are refused here alone.
        assert!(theirs || !good[0], "{bytes:?}");
    }
    assert!(accepted > 10, "{accepted}");
}
