"""The machinery that turns docs/*.md into pages: parser, bindings, maths, citations, ledger."""
