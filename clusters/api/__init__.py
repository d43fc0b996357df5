"""The site for scripts: the same reads and writes as the pages, over HTTP and JSON.

`resource` is the frame that every resource is built on; one file a noun; `urls` is the map.
"""
