"""The tests: trial in memory beside a few with real processes."""
