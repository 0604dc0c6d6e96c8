//! Completions of multishot operations that nobody has taken yet: one pool of list nodes per ring.

use crate::completion::Completion;

/// The end of a list.
const NONE: u32 = u32::MAX;

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
            next: NONE,
        };
        match self.free.pop() {
            Some(index) => {
                self.nodes[at(index)] = node;
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        }
    }

    /// Puts the list that begins at `item` behind the node `last`.
    pub(crate) fn append(&mut self, last: u32, item: u32) {
        self.nodes[at(last)].next = item;
    }

    /// Takes the first node off its list; gives its completion and the next node.
    pub(crate) fn remove(&mut self, first: u32) -> (Completion, u32) {
        let node = &self.nodes[at(first)];
        let taken = (node.completion, node.next);
        self.free.push(first);
        taken
    }

    /// Takes the whole list that begins at `first`.
    pub(crate) fn remove_all(&mut self, mut first: u32) {
        while first != NONE {
            first = self.remove(first).1;
        }
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Items, NONE};
    use crate::completion::Completion;

    #[test]
    fn lists_keep_their_order_and_reuse_their_nodes() {
        let mut items = Items::default();
        let first = items.store(Completion::new(0, 1, 0));
        let second = items.store(Completion::new(0, 2, 0));
        items.append(first, second);
        let (completion, next) = items.remove(first);
        assert_eq!((completion.result, next), (1, second));
        assert_eq!(items.remove(next), (Completion::new(0, 2, 0), NONE));
        let reused = items.store(Completion::new(0, 3, 0));
        assert!(reused == first || reused == second);
        items.remove_all(reused);
        assert_eq!(items.free.len(), 2);
    }
}
