"""One address for many model servers: who may ask what, who answers, and what it cost.

It stands beside `lsp`: imports `completion`, `finetune.gate` and `tandem`'s shared modules, and only
`tandem.cli` imports it. A request goes through `completion.engine.guard` (who), `app` (what), `fields` (is it
harmless), `quota` (how much), `routes` (where to), `cache` (known already?), `relay` (the answer),
and leaves a line in `ledger`. Adapters of teams: `adapters`, `adapter_store`, `loading`. See docs/gateway.md.
"""
