"""A patch must prove itself: containers without a network, candidates, validation.

Holds nothing yet. May import `completion` and the shared modules of `tandem`.
"""
