"""The company itself: its tables, its history, the life it leads, and the truth that is kept apart."""
