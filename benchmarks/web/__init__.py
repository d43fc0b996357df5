"""The site at the paper's size: server time, queries and bytes of every page, memory, ingest, first paint.

`python -m benchmarks.web` makes the data (or takes `--bundle`), reads it into SQLite and PostgreSQL, and asks for
every page with other numbers each time.
"""
