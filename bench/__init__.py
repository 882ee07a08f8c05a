"""Every performance figure the README quotes, reproducible by one command."""
