"""Decision trees as data: a file that people edit, proved before it decides anything.

tree = read_tree(path, facts)          # refused with one clear error where it has a hole, a loop or a dead branch
decision = tree.decide({"overdue_eur": 120, ...})
decision.action, decision.reason, decision.steps
"""

from models.trees.declared import declared_facts, declared_trees, find_tree
from models.trees.facts import Fact, Facts
from models.trees.reading import read_tree, tree_from
from models.trees.tree import Decision, Tree

__all__ = ["Decision", "Fact", "Facts", "Tree", "declared_facts", "declared_trees", "find_tree", "read_tree", "tree_from"]
