"""The language server: editor in, suggestions out.

`server` holds handlers and nothing else, `documents` the open files. May import `completion`,
`finetune`, `sandbox` and the shared modules of `tandem`; only `tandem.cli` may import it.
"""
