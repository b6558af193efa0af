"""Answers to questions that mean the same though they are worded otherwise.

Imports numpy and usearch, so it is imported only where semantic caching is configured.
"""
