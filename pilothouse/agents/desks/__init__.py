"""The agents that are declared: one file each. `discover` finds them, and those of packages that join by an entry point."""
