"""The embedded world: a generator of shapes, pictures and words small enough to train on a laptop.

Nothing else in ReDream imports this package; it only writes data in ordinary formats.
"""
