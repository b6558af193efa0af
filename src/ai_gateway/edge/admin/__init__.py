"""The admin API, `/admin/*`: a table of `AdminRoute`s, a module for each noun.

To add an endpoint: a module here with a function that makes its `AdminRoute`s from the part it needs,
and its line in `table.py`. Guarding, reading, answering, errors and OpenAPI come with the table.
"""
