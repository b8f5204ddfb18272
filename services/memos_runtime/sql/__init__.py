"""SQL databases as every service uses them: SQLite on one machine, PostgreSQL in a cluster."""
