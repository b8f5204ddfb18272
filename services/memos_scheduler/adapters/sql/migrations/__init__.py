"""Migrations of the queue's schema, run by `database.migrate`."""
