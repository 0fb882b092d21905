//! The library from outside: what goes in comes out.

mod basics;
mod seed_readers;
