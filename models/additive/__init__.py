"""Additive models: every feature adds its part to a score, so that the parts are its reasons, exactly."""
