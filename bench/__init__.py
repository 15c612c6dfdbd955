"""The measuring bench: the same client and sink through our pair of gateways and through the pairs of programs used instead.

`python -m bench` measures our pair beside a direct connection, `python -m bench --peers` beside every other pair that this
machine has, `python -m bench.compare BASE` one commit against another. docs/performance.md says how and why.
"""
