-- Schema 5: a message that is being sent is one process's: that of the epoch named here, until a time on the clock of next_at.
ALTER TABLE alert_outbox ADD COLUMN claimed_by INTEGER;
ALTER TABLE alert_outbox ADD COLUMN claimed_until REAL;
