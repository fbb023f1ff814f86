//! What an engine has reduced so far of items in a row, and how such parts become one; see [`super::fold`].

use super::error::Error;
use super::fold::{Fold, LEAF};
use super::output::{Batch, LargeResults, Output, own};
use crate::link::{Damaged, Results};
use crate::wire::Wire;

/// What is reduced by this fold.
pub(crate) type TreeOf<L> = Tree<<L as Fold>::Item, <L as Fold>::Leaf, <L as Fold>::Node>;

/// Nodes of the tree, and what belongs to none yet. Its type doesn't name the fold, which may borrow variables.
pub struct Tree<I, F, N> {
    first: u64,
    /// The next item's index.
    next: u64,
    /// Items of the leaf in which `first` lies, if that isn't where the leaf begins.
    head: Vec<Option<I>>,
    nodes: Vec<Node<N>>,
    /// The leaf in which `next` lies, if it began here.
    leaf: F,
    /// A function of the user's panicked while it had what was reduced so far.
    broken: bool,
}

struct Node<T> {
    level: u32,
    /// Among the nodes of this level.
    index: u64,
    value: T,
}

impl<I: Wire + Send, F: Wire + Send, N: Wire + Send> Tree<I, F, N> {
    pub(crate) fn new(fold: &impl Fold<Item = I, Leaf = F, Node = N>, first: u64) -> Self {
        Tree { first, next: first, head: Vec::new(), nodes: Vec::new(), leaf: fold.leaf(), broken: false }
    }

    /// Where the items end that are single.
    fn head_end(&self) -> u64 {
        self.first.next_multiple_of(LEAF)
    }

    fn push_one(&mut self, fold: &impl Fold<Item = I, Leaf = F, Node = N>, item: Option<I>) {
        if self.next < self.head_end() {
            self.head.push(item);
            self.next += 1;
            return;
        }
        if let Some(item) = item {
            fold.add(&mut self.leaf, (self.next % LEAF) as usize, item);
        }
        self.next += 1;
        if self.next.is_multiple_of(LEAF) {
            self.close(fold);
        }
    }

    /// The leaf that has just become full, or is the last one.
    fn close(&mut self, fold: &impl Fold<Item = I, Leaf = F, Node = N>) {
        let leaf = std::mem::replace(&mut self.leaf, fold.leaf());
        self.push_node(fold, Node { level: 0, index: (self.next - 1) / LEAF, value: fold.close(leaf) });
    }

    fn push_node(&mut self, fold: &impl Fold<Item = I, Leaf = F, Node = N>, mut node: Node<N>) {
        while node.index % 2 == 1
            && self.nodes.last().is_some_and(|left| left.level == node.level && left.index + 1 == node.index)
            && let Some(left) = self.nodes.pop()
        {
            let value = fold.combine(left.value, node.value);
            node = Node { level: node.level + 1, index: node.index / 2, value };
        }
        self.nodes.push(node);
    }

    /// Appends what was reduced of items behind these. Where items are left out, they count as absent.
    pub(crate) fn append(&mut self, fold: &impl Fold<Item = I, Leaf = F, Node = N>, other: Self) {
        while self.next < other.first && !self.next.is_multiple_of(LEAF) {
            self.push_one(fold, None);
        }
        // A gap ends at the beginning of a leaf, or at items that are single.
        self.next = self.next.max(other.first / LEAF * LEAF);
        while self.next < other.first {
            self.push_one(fold, None);
        }
        for item in other.head {
            self.push_one(fold, item);
        }
        if self.next == other.next {
            return;
        }
        for node in other.nodes {
            self.push_node(fold, node);
        }
        self.next = other.next;
        self.leaf = other.leaf;
    }

    /// All of it as one value, for a tree that begins with the first item; none if there are no items.
    pub(crate) fn root(mut self, fold: &impl Fold<Item = I, Leaf = F, Node = N>) -> Option<N> {
        if !self.next.is_multiple_of(LEAF) {
            self.close(fold);
        }
        let mut root = self.nodes.pop()?.value;
        while let Some(left) = self.nodes.pop() {
            root = fold.combine(left.value, root);
        }
        Some(root)
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        self.head.put(to);
        (self.nodes.len() as u64).put(to);
        for node in &self.nodes {
            (node.level, node.index).put(to);
            node.value.put(to);
        }
        self.leaf.put(to);
    }

    pub(crate) fn read(first: u64, count: u64, from: &mut &[u8]) -> Result<Self, Damaged> {
        let head = Vec::get(from)?;
        let nodes = u64::get(from)?;
        let nodes = (0..nodes).map(|_| {
            let (level, index) = Wire::get(from)?;
            Ok(Node { level, index, value: Wire::get(from)? })
        });
        let nodes = nodes.collect::<Result<_, Damaged>>()?;
        let next = first.checked_add(count).filter(|next| next.checked_add(LEAF).is_some()).ok_or(Damaged)?;
        let tree = Tree { first, next, head, nodes, leaf: Wire::get(from)?, broken: false };
        let single = tree.head_end().min(next) - first;
        if tree.head.len() as u64 == single { Ok(tree) } else { Err(Damaged) }
    }
}

/// Reduces what the function returns.
pub(crate) struct Folded<L>(pub(crate) L);

/// Keeps a leaf in registers, and puts it back also when the function unwinds.
struct Open<'a, L: Fold> {
    tree: &'a mut TreeOf<L>,
    leaf: Option<L::Leaf>,
    next: u64,
    folding: bool,
}

impl<L: Fold> Drop for Open<'_, L> {
    #[inline(always)]
    fn drop(&mut self) {
        self.tree.next = self.next;
        self.tree.broken |= self.folding;
        if let Some(leaf) = self.leaf.take() {
            self.tree.leaf = leaf;
        }
    }
}

impl<L: Fold> Folded<L> {
    /// A whole leaf. The loops are such that the compiler sees which lane of a sum an item belongs to.
    #[inline(always)]
    fn whole(&self, tree: &mut TreeOf<L>, next: &mut impl FnMut() -> Option<L::Item>) {
        let first = tree.next;
        let mut open: Open<'_, L> = Open { tree, leaf: Some(self.0.leaf()), next: first, folding: false };
        for row in 0..8 {
            for lane in 0..8 {
                let item = next();
                if let (Some(item), Some(leaf)) = (item, &mut open.leaf) {
                    open.folding = true;
                    self.0.add(leaf, row * 8 + lane, item);
                    open.folding = false;
                }
                open.next += 1;
            }
        }
        let value = open.leaf.take().map(|leaf| self.0.close(leaf));
        drop(open);
        if let Some(value) = value {
            tree.broken = true;
            tree.push_node(&self.0, Node { level: 0, index: first / LEAF, value });
            tree.broken = false;
        }
    }

    /// Takes results, so many calls of `next`. If it unwinds, the tree has those until then.
    #[inline(always)]
    pub(crate) fn extend(&self, tree: &mut TreeOf<L>, count: u64, mut next: impl FnMut() -> Option<L::Item>) {
        let mut left = count;
        while left > 0 {
            if tree.next.is_multiple_of(LEAF) && tree.next >= tree.head_end() && left >= LEAF {
                self.whole(tree, &mut next);
                left -= LEAF;
            } else {
                let item = next();
                tree.broken = true;
                tree.push_one(&self.0, item);
                tree.broken = false;
                left -= 1;
            }
        }
    }
}

impl<L: Fold> Output for Folded<L> {
    fn batch(&self, first: u64) -> Batch {
        Box::new(TreeOf::<L>::new(&self.0, first))
    }

    fn fail(&self, tree: &mut Batch, _: &str) {
        own::<TreeOf<L>>(tree).push_one(&self.0, None);
    }

    fn most(&self) -> u64 {
        1 << 22
    }

    fn done(&self, tree: &mut Batch) -> u64 {
        let tree = own::<TreeOf<L>>(tree);
        tree.next - tree.first
    }

    fn broken(&self, tree: &mut Batch) -> bool {
        own::<TreeOf<L>>(tree).broken
    }

    fn join(&self, tree: &mut Batch, mut other: Batch) {
        let (tree, other) = (own::<TreeOf<L>>(tree), own::<TreeOf<L>>(&mut other));
        let other = std::mem::replace(other, Tree::new(&self.0, 0));
        tree.append(&self.0, other);
    }

    fn size(&self, tree: &mut Batch) -> usize {
        let tree = own::<TreeOf<L>>(tree);
        (tree.head.len() + tree.nodes.len()) * size_of::<Node<L::Node>>()
    }

    fn finish(&self, mut tree: Batch, place: &LargeResults) -> Result<Results, Error> {
        let mut bytes = Vec::new();
        own::<TreeOf<L>>(&mut tree).write(&mut bytes);
        place.put(bytes)
    }
}
