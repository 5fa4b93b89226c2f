-- Schema 2: alerts. Times named at are seconds since the machine started, of the boot named beside them; times named wall,
-- created and time are since the epoch.

-- Who judges: one process at a time. A row whose at is over three seconds old is anybody's; epoch rises with each owner.
CREATE TABLE alert_lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  owner TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  at REAL NOT NULL,
  boot TEXT NOT NULL
);

-- What each worker counted in each slot of five seconds; a worker replaces its own. id never comes back, so that readers
-- ask for what is newer than the last they saw.
CREATE TABLE alert_slots (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  worker TEXT NOT NULL,
  series TEXT NOT NULL,        -- JSON: what its series has in common
  key TEXT NOT NULL,           -- JSON array: values of by
  number INTEGER NOT NULL,
  until INTEGER NOT NULL,      -- the slot from which on no window reaches it
  boot TEXT NOT NULL,
  content TEXT NOT NULL,       -- JSON
  UNIQUE (number, worker, series, key)
);

CREATE TABLE alert_state (
  fingerprint TEXT PRIMARY KEY,
  alert TEXT NOT NULL,
  digest TEXT NOT NULL,        -- of the rule that judged it
  state TEXT NOT NULL,         -- inactive, pending, firing
  content TEXT NOT NULL,       -- JSON: the state machine's own fields
  labels TEXT NOT NULL,        -- JSON
  at REAL NOT NULL,
  wall REAL NOT NULL,
  boot TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE alert_history (
  id INTEGER PRIMARY KEY,
  time REAL NOT NULL,
  alert TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  before TEXT NOT NULL,
  state TEXT NOT NULL,
  labels TEXT NOT NULL,        -- JSON
  value REAL,
  samples INTEGER,
  reason TEXT
);
CREATE INDEX alert_history_time ON alert_history (time);

-- Messages, one row a receiver. state: pending, sent, dead.
CREATE TABLE alert_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity TEXT NOT NULL UNIQUE,
  receiver TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  repeat INTEGER NOT NULL,
  message TEXT NOT NULL,       -- JSON, frozen
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at REAL NOT NULL,
  boot TEXT NOT NULL,
  created REAL NOT NULL,
  settled REAL,
  error TEXT
);
CREATE INDEX alert_outbox_pending ON alert_outbox (receiver, id) WHERE state = 'pending';

CREATE TABLE alert_silences (
  id INTEGER PRIMARY KEY,
  matchers TEXT NOT NULL,      -- JSON: label names and the values that they must have
  starts REAL NOT NULL,
  ends REAL NOT NULL,
  author TEXT NOT NULL,
  comment TEXT NOT NULL
);
