"""Plain values that reads, charts and pages share: no rows, no files, no requests."""
