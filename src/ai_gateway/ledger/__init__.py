"""What every call used and cost, kept exactly once.

A call's record is in a local spool file before the last byte of its answer leaves (`spool`), and goes
from there into the database in the background (`replay`), where its id keeps it from counting twice.
"""
