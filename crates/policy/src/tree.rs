//! A tenancy's compartments.

use std::collections::HashMap;

use wharfinger_types::Ocid;

/// Why a policy set cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No compartment without parent, or several.
    #[error("a tree needs one compartment without parent, found {0}: name every other one's parent")]
    Roots(usize),
    /// A parent that is not in the tree.
    #[error("compartment `{id}` is in `{parent}`, which is not in the tree: add it")]
    NoParent {
        /// The compartment.
        id: Ocid,
        /// Its parent.
        parent: Ocid,
    },
    /// The same identifier twice.
    #[error("compartment `{0}` is in the tree twice: leave one out")]
    Repeated(Ocid),
    /// The same name twice in one parent.
    #[error("`{parent}` holds two compartments named `{name}`: rename one")]
    SameName {
        /// The parent.
        parent: Ocid,
        /// Their name.
        name: String,
    },
    /// Compartments in one another.
    #[error("compartment `{0}` is not below the root: its parents form a circle")]
    Circle(Ocid),
}

/// One compartment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compartment {
    /// Its identifier; the root's is the tenancy's.
    pub id: Ocid,
    /// Its name, unique in its parent.
    pub name: String,
    /// The compartment it is in; none for the root.
    pub parent: Option<Ocid>,
    /// Its defined tags: `<namespace>.<key>` and value.
    pub tags: Vec<(String, String)>,
}

/// A compartment's place in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node(usize);

/// The compartments of a tenancy: one root, no circles, names unique in each parent.
#[derive(Debug, Clone)]
pub struct CompartmentTree {
    compartments: Vec<Compartment>,
    by_id: HashMap<Ocid, Node>,
    parents: Vec<Option<Node>>,
    children: Vec<HashMap<String, Node>>,
    root: Node,
}

impl CompartmentTree {
    /// The tree that `compartments`, in any order, form.
    pub fn new(compartments: Vec<Compartment>) -> Result<CompartmentTree, Error> {
        let mut by_id = HashMap::new();
        for (index, compartment) in compartments.iter().enumerate() {
            if by_id.insert(compartment.id.clone(), Node(index)).is_some() {
                return Err(Error::Repeated(compartment.id.clone()));
            }
        }
        let mut parents = Vec::new();
        let mut children = vec![HashMap::new(); compartments.len()];
        let mut roots = Vec::new();
        for (index, compartment) in compartments.iter().enumerate() {
            let Some(parent_id) = &compartment.parent else {
                roots.push(Node(index));
                parents.push(None);
                continue;
            };
            let parent = by_id
                .get(parent_id)
                .copied()
                .ok_or_else(|| Error::NoParent { id: compartment.id.clone(), parent: parent_id.clone() })?;
            parents.push(Some(parent));
            let siblings = children.get_mut(parent.0);
            let taken = siblings.and_then(|names| names.insert(compartment.name.clone(), Node(index)));
            if taken.is_some() {
                return Err(Error::SameName { parent: parent_id.clone(), name: compartment.name.clone() });
            }
        }
        let [root] = roots.as_slice() else {
            return Err(Error::Roots(roots.len()));
        };
        let tree = CompartmentTree { root: *root, compartments, by_id, parents, children };
        tree.refuse_circles()?;
        Ok(tree)
    }

    fn refuse_circles(&self) -> Result<(), Error> {
        let mut below_root = vec![false; self.compartments.len()];
        let mut open = vec![self.root];
        while let Some(node) = open.pop() {
            if let Some(seen) = below_root.get_mut(node.0) {
                *seen = true;
            }
            open.extend(self.children.get(node.0).into_iter().flat_map(HashMap::values));
        }
        let lost = self.compartments.iter().zip(below_root).find(|(_, seen)| !seen);
        lost.map_or(Ok(()), |(compartment, _)| Err(Error::Circle(compartment.id.clone())))
    }

    /// The root compartment's identifier.
    pub fn root_id(&self) -> Option<&Ocid> {
        self.compartment(self.root).map(|root| &root.id)
    }

    /// The names from below the root to `id`, joined by `:`; `tenancy` for the root, none if it is not
    /// in the tree.
    pub fn path(&self, id: &Ocid) -> Option<String> {
        let mut names: Vec<&str> = self
            .upward(self.node(id)?)
            .filter(|node| *node != self.root)
            .filter_map(|node| self.compartment(node))
            .map(|compartment| compartment.name.as_str())
            .collect();
        names.reverse();
        Some(if names.is_empty() { "tenancy".to_owned() } else { names.join(":") })
    }

    pub(crate) fn root(&self) -> Node {
        self.root
    }

    pub(crate) fn len(&self) -> usize {
        self.compartments.len()
    }

    pub(crate) fn node(&self, id: &Ocid) -> Option<Node> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn compartment(&self, node: Node) -> Option<&Compartment> {
        self.compartments.get(node.0)
    }

    pub(crate) fn child(&self, node: Node, name: &str) -> Option<Node> {
        self.children.get(node.0)?.get(name).copied()
    }

    /// The names of a compartment's children, in order.
    pub(crate) fn child_names(&self, node: Node) -> Vec<&str> {
        let names = self.children.get(node.0).into_iter().flat_map(HashMap::keys);
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// `node`, its parent, and so on to the root.
    pub(crate) fn upward(&self, node: Node) -> impl Iterator<Item = Node> {
        std::iter::successors(Some(node), |node| self.parents.get(node.0).copied().flatten())
    }

    /// Whether `node` is `ancestor` or below it.
    pub(crate) fn is_within(&self, node: Node, ancestor: Node) -> bool {
        self.upward(node).any(|above| above == ancestor)
    }
}

impl Node {
    /// A place in a list that has one entry a compartment.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}
