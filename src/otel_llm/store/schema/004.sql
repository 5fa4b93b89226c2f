-- Schema 4: what a backend has been sent, so that sending goes on where it ended.
CREATE TABLE deliveries (
  destination TEXT NOT NULL,   -- protocol and address, without credentials
  signal TEXT NOT NULL,        -- spans, logs, metrics
  content TEXT NOT NULL,       -- JSON array of [since, until, reached]: rows up to the id reached that began in that time
  PRIMARY KEY (destination, signal)
) WITHOUT ROWID;
