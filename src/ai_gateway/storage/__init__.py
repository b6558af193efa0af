"""What must last: SQLite or PostgreSQL."""
