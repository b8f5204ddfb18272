"""Governance's stores on SQLAlchemy Core: SQLite by default, PostgreSQL in a cluster."""
