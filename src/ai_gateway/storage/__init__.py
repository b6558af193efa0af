"""What must last, in SQLite or PostgreSQL: one engine, the tables, their migrations.

SQLAlchemy takes 20 MB and a quarter of a second to import, so modules that name it (`tables`, and
every module elsewhere that writes statements) are imported only once a database is opened.
"""
