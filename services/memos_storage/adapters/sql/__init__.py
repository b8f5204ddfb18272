"""The catalogue on SQLAlchemy: SQLite by default, PostgreSQL in a cluster."""
