"""The step cache: keys, what they stand for, and why one was not found.

Terminology: the *parts* of a key are what it is made of, by name; `key.py` lists the names. A *list* is a part that is
kept only to explain (the files behind a digest). A key and its layer are a `builder.store.records.Record`.
"""
