"""Reads that look for text: in the whole corpus by its bytes and tokens, in clustered contexts by their words."""
