"""The models that come with the platform, each one value in one file. Learning them is the work of the modules around this package."""
