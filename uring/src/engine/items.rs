//! Completions that are kept beside their slot, mostly those of multishot operations that nobody has taken yet: one pool of list nodes per
//! ring.

use crate::completion::Completion;

/// The end of a list, and the empty one.
pub(crate) const NO_ITEM: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Items {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

struct Node {
    completion: Completion,
    next: u32,
}

impl Items {
    /// Stores a completion as a list of one, and gives its node.
    pub(crate) fn store(&mut self, completion: Completion) -> u32 {
        let node = Node {
            completion,
            next: NO_ITEM,
        };
        match self.free.pop() {
            Some(index) => {
                self.nodes[at(index)] = node;
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NO_ITEM)
            }
        }
    }

    /// Puts the list that begins at `item` behind the node `last`.
    pub(crate) fn append(&mut self, last: u32, item: u32) {
        self.nodes[at(last)].next = item;
    }

    /// Takes the first node off the list that begins at `first`, which then begins at the next.
    pub(crate) fn take_first(&mut self, first: &mut u32) -> Option<Completion> {
        let node = self.nodes.get(at(*first))?;
        self.free.push(std::mem::replace(first, node.next));
        Some(node.completion)
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Items, NO_ITEM};
    use crate::completion::Completion;

    #[test]
    fn lists_keep_their_order_and_reuse_their_nodes() {
        let mut items = Items::default();
        let first = items.store(Completion::new(0, 1, 0));
        let second = items.store(Completion::new(0, 2, 0));
        items.append(first, second);
        let mut list = first;
        let mut next = |items: &mut Items| items.take_first(&mut list).map(|it| it.result);
        assert_eq!(next(&mut items), Some(1));
        let reused = items.store(Completion::new(0, 3, 0));
        assert_eq!(reused, first);
        assert_eq!(next(&mut items), Some(2));
        assert_eq!(next(&mut items), None);
        assert_eq!(list, NO_ITEM);
        assert_eq!(items.free, [second]);
    }
}
