//! The fields of a message as they stand in its bytes.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order of its bytes. Ends with `Some(Err(Wrong))` at bytes that are no field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    left: &'a [u8],
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong;

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { left: message }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(Wrong)?;
        self.left = left;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Wrong> {
        let key = varint(&mut self.left)?;
        let number = u32::try_from(key >> 3).map_err(|_| Wrong)?;
        if number == 0 {
            return Err(Wrong);
        }
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.left)?),
            1 => Value::Fixed64(fixed64(self.take(8)?)?),
            2 => {
                let len = usize::try_from(varint(&mut self.left)?).map_err(|_| Wrong)?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(fixed32(self.take(4)?)?),
            // Groups are refused with the description; unknown ones are as good as none.
            _ => return Err(Wrong),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Wrong>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.left = &[];
        }
        Some(field)
    }
}

/// Takes a number of one to ten bytes.
#[inline]
pub(super) fn varint(left: &mut &[u8]) -> Result<u64, Wrong> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = left.split_first().ok_or(Wrong)?;
        *left = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Wrong)
}

pub(super) fn fixed64(bytes: &[u8]) -> Result<u64, Wrong> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| Wrong)
}

pub(super) fn fixed32(bytes: &[u8]) -> Result<u32, Wrong> {
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| Wrong)
}
