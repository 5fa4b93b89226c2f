"""Room store: keeps spans, metric points and logs in SQLite, and reads them."""
