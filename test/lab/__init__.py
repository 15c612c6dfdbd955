"""The fault laboratory: every instance on a machine of its own (network namespaces), a steady load, and things that break."""
