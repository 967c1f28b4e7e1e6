"""Galleries in PostgreSQL with pgvector (extra `db`), for more images than one machine holds and many who change them.

A gallery is a schema of a database: `postgresql://user@host/database#name` is the schema `name`, `gallery` by default.
"""
