use std::collections::{BTreeMap, HashMap as Map};
use std::fmt;
use crate::store::{self, Store, item::Item};
use super::log::*;
use anyhow::Result as Res;
extern crate serde;
mod files;

/// How many lines an order may have.
pub const LIMIT: usize = 10;
static NAME: &str = "shop";

/// What a customer bought. Once.
#[derive(Debug)]
pub struct Order<'a> {
    pub store: &'a Store,
    lines: Vec<Item>,
}

pub struct Pair(i32, i32);

pub enum State {
    Open,
    Closed { hour: u8 },
}

pub trait Shop {
    fn open(&self, hour: u8) -> bool;
}

impl<'a> Shop for Order<'a> {
    fn open(&self, hour: u8) -> bool {
        let item: Item = Item::new();
        hour > 8
    }
}

impl State {
    pub async fn next<T>(self, by: T) -> State
    where
        T: Copy,
    {
        self
    }
}

mod inner {
    pub fn twice(n: i32) -> i32 {
        n * 2
    }
}

type Table = Map<String, Item>;

macro_rules! shout {
    () => {};
}
