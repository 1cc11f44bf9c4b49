"""The command line and what every part of Tandem shares.

`cli` may import every package. `config`, `errors`, `paths`, `secrets`, `trace` and `workspace`
import nothing of ours but each other, and everybody may import them.
"""

__version__ = "0.1.0"
