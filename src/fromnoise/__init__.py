"""Generative models, understood by how they break: the tested code of the book From Noise."""
