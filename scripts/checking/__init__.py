"""Checks of the sources and the built HTML that know nothing of the generator that made them."""
