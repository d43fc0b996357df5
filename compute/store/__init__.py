"""What hosts that share no disk leave for each other: blobs by their hash, and small records that name them.

    objects/ab/ab12…                   a file's bytes under its SHA-256; written whole, never changed
    work/job-7/similarity/signed.npy.note   a job's result: hash, size, and the stamp of what it was computed from
    work/columns/….npy.note            losses that runs share
    bundles/<sha256>.json              a published bundle: its folder's name, and every file with hash and size
    corpora/<folder>.json              a text that somebody sent, likewise
    owner                              which data folder tidies here; no other removes anything
    damaged/…                          objects that were not what their name says; kept for whoever looks into it

What comes out of the store is hashed on its way and compared before it gets its name here. Whatever is missing or wrong
counts as absent, and is computed again.
"""
