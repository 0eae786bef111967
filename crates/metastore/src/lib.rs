//! SQLite and PostgreSQL behind one store
