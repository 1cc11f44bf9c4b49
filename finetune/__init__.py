"""The repository teaches the model: samples, training, evaluation, adapters.

Holds nothing yet. May import `completion` and the shared modules of `tandem`.
"""
