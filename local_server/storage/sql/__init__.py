"""What the stores say in SQL, written once for SQLite and Postgres."""
