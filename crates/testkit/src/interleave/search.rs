//! Which orders are tried: all, those with few switches, or random ones.

use std::fmt;

/// The orders that a [`Search`] goes through.
#[derive(Debug, Clone, Copy)]
pub enum Orders {
    /// Every one that switches at most so often away from a body that could go on.
    Switches(usize),
    /// So many random ones; the same seed gives the same.
    Random {
        /// Where the random numbers start.
        seed: u64,
        /// How many orders.
        count: usize,
    },
}

/// A place where several bodies could go on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Who could, first the one that a search without switches takes.
    able: Vec<usize>,
    /// The one taken, as an index.
    taken: usize,
    /// Whether taking another than the first is a switch away from a body that could go on.
    counts: bool,
}

/// Goes through orders one after another, deepest place first.
#[derive(Debug)]
pub struct Search {
    orders: Orders,
    /// What the next order follows before it is free.
    prefix: Vec<Place>,
    tried: usize,
    /// How often the order at hand was begun.
    attempts: usize,
    is_done: bool,
}

/// How often an order that went another way than before is begun again: the database may look for a
/// deadlock a moment later than it should.
const ATTEMPTS: usize = 5;

impl Search {
    /// A search at its first order.
    #[must_use]
    pub fn new(orders: Orders) -> Search {
        Search { orders, prefix: Vec::new(), tried: 0, attempts: 0, is_done: false }
    }

    /// The next order, if there is one left. It is given back to [`end`](Self::end).
    pub fn begin(&mut self) -> Option<Order> {
        if self.is_done {
            return None;
        }
        let random = match self.orders {
            Orders::Switches(_) => None,
            Orders::Random { count, .. } if self.tried == count => return None,
            Orders::Random { seed, .. } => Some(seed.wrapping_add(self.tried as u64)),
        };
        self.attempts += 1;
        let prefix = self.prefix.clone();
        Some(Order { prefix, places: Vec::new(), random, steps: Vec::new(), strayed: false })
    }

    /// Takes note of an order that was run to its end.
    ///
    /// # Panics
    /// If the bodies do not do the same in the same order.
    pub fn end(&mut self, order: Order) {
        if order.strayed && matches!(self.orders, Orders::Switches(_)) {
            assert!(self.attempts < ATTEMPTS, "the same order went another way each time:\n{order}");
            return;
        }
        self.tried += 1;
        self.attempts = 0;
        let Orders::Switches(most) = self.orders else { return };
        let mut places = order.places;
        while let Some(mut last) = places.pop() {
            let before: usize = places.iter().map(Place::switches).sum();
            last.taken += 1;
            if last.taken < last.able.len() && before + last.switches() <= most {
                places.push(last);
                self.prefix = places;
                return;
            }
        }
        self.is_done = true;
    }

    /// How many orders were run.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.tried
    }
}

impl Place {
    fn switches(&self) -> usize {
        usize::from(self.counts && self.taken > 0)
    }
}

/// One order, as far as it is decided; it writes down what was done.
#[derive(Debug)]
pub struct Order {
    prefix: Vec<Place>,
    places: Vec<Place>,
    random: Option<u64>,
    steps: Vec<(usize, String)>,
    /// Whether it came elsewhere than the order that it follows.
    strayed: bool,
}

impl Order {
    /// Who of `able` goes on; `last` went before.
    pub(super) fn choose(&mut self, mut able: Vec<usize>, last: Option<usize>) -> usize {
        let counts = last.is_some_and(|last| able.contains(&last));
        able.sort_by_key(|actor| (Some(*actor) != last, *actor));
        let taken = match (self.prefix.get(self.places.len()), self.random) {
            (Some(before), _) if before.able == able && !self.strayed => before.taken,
            (Some(_), _) => {
                self.strayed = true;
                0
            }
            (None, None) => 0,
            (None, Some(state)) => {
                let (next, value) = splitmix(state);
                self.random = Some(next);
                (value % able.len() as u64) as usize
            }
        };
        let actor = able[taken];
        self.places.push(Place { able, taken, counts });
        actor
    }

    pub(super) fn note(&mut self, actor: usize, statement: String) {
        self.steps.push((actor, statement));
    }
}

/// The statements in the order in which they were let through.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (actor, statement) in &self.steps {
            let words: Vec<&str> = statement.split_whitespace().collect();
            writeln!(f, "  {actor}: {:.110}", words.join(" "))?;
        }
        Ok(())
    }
}

/// The next state and number of `splitmix64` (Steele, Lea and Flood, OOPSLA 2014).
fn splitmix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}
