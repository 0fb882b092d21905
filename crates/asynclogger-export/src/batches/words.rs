//! A column with few different texts.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray, types::Int32Type};
use arrow_schema::ArrowError;

use super::columns::Strings;

/// The number that stands for no text.
pub(super) const NONE: i32 = -1;

/// The different texts of a column, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<String, i32>,
    texts: Vec<String>,
    /// The texts as an array; `None` after a text has come.
    array: Option<Arc<StringArray>>,
}

impl Words {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> i32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = i32::try_from(self.texts.len()).unwrap_or(NONE);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        self.array = None;
        number
    }

    /// The column of these numbers.
    pub(super) fn column(
        &mut self,
        numbers: Vec<i32>,
        strings: Strings,
    ) -> Result<ArrayRef, ArrowError> {
        let text = |number: &i32| {
            let index = usize::try_from(*number).ok()?;
            self.texts.get(index).map(String::as_str)
        };
        if strings == Strings::Plain {
            return Ok(Arc::new(numbers.iter().map(text).collect::<StringArray>()));
        }
        let texts =
            self.array.get_or_insert_with(|| Arc::new(StringArray::from_iter_values(&self.texts)));
        let keys = match numbers.contains(&NONE) {
            true => numbers.into_iter().map(|number| (number != NONE).then_some(number)).collect(),
            false => Int32Array::from(numbers),
        };
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, texts.clone())?))
    }
}
