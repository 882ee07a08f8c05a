"""How a decision is read: what it says, what it is made of, and what makes two of them differ.

opened     a decision with all that its capsule holds
"""
