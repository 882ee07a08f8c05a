"""How a decision is read: what it says, what it is made of, and what makes two of them differ.

opened     a decision with all that its capsule holds, and what became of it
looks      the rows that its calls looked at, found by making them once more
using      which of their cells the decision really used, found by deciding again with others
why        from these cells down to raw rows, through features, graph facts and merges
since      raw rows as they were then and as they are now
merges     the records that were taken for one firm, on what evidence
differing  two decisions side by side, or one beside what would be decided today
"""
