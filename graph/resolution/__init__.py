"""Which records stand for the same thing: declared comparisons, weighed by Splink, and the corrections of people."""
