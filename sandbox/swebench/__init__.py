"""SWE-bench's format: many repairs in a row, and an evaluator that needs no network.

`tandem fix --swebench` and `tandem swebench evaluate`; see docs/swebench.md.
"""
