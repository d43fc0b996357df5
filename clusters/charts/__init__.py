"""Rows and arrays → JSON-safe chart payloads → drawings; `chart.py` documents the API."""
