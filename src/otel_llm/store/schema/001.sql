-- Schema 1. Times are nanoseconds since the epoch, durations of spans nanoseconds, everything else SI units.
-- A typed column holds a value only where its type fits exactly, so that reading gives back what was written;
-- what does not fit stands in the row's JSON. NULL means absent: nobody said it.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- Rises whenever interned rows are deleted: a writer that sees it change forgets the ids it remembers.
INSERT INTO meta VALUES ('generation', 0);

-- The id of the last span that roll-ups count. Besides, once there are any: 'deleted', the latest start of a span that age
-- or quota took; hours up to then are told by roll-ups alone. 'pruned', the hour before which roll-ups are gone themselves.
INSERT INTO meta VALUES ('folded', 0);

CREATE TABLE resources (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  service TEXT,                -- service.name, for people and filters; the exact value is in content
  content TEXT NOT NULL        -- {"attributes": {...}, "schema_url": ...}
);

CREATE TABLE scopes (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  name TEXT,
  content TEXT NOT NULL        -- {"name", "version", "schema_url", "attributes"}
);

-- What many spans share.
CREATE TABLE series (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  scope INTEGER,
  name TEXT,                   -- NULL: the span's own details hold it, for there are too many
  kind INTEGER NOT NULL,       -- as in OpenTelemetry's SDK: 0 internal, 1 server, 2 client, 3 producer, 4 consumer
  status INTEGER NOT NULL,     -- 0 unset, 1 ok, 2 error
  flags INTEGER NOT NULL,      -- as in OTLP: W3C trace flags, 256 the parent's place is known, 512 it is remote
  operation TEXT,
  provider TEXT,
  request_model TEXT,
  response_model TEXT,
  server_address TEXT,
  server_port INTEGER,
  stream INTEGER,
  finish_reasons TEXT,         -- JSON array
  usage_source TEXT,
  outcome TEXT,
  error_type TEXT,
  error_code TEXT,
  status_code INTEGER,
  queue_name TEXT,
  truncated INTEGER
);

-- Request settings and quotas, which many calls share.
CREATE TABLE parameters (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  content TEXT NOT NULL        -- attributes
);

-- What summaries read stands first: SQLite decodes a row only as far as it must.
CREATE TABLE spans (
  id INTEGER PRIMARY KEY,
  start_time INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  series INTEGER NOT NULL,
  resource INTEGER NOT NULL,
  time_to_first_token REAL,
  time_per_output_token REAL,
  queue_wait REAL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  resend_count INTEGER,
  cache_read_input_tokens INTEGER,
  cache_creation_input_tokens INTEGER,
  reasoning_output_tokens INTEGER,
  time_to_first_chunk REAL,
  stream_chunks INTEGER,
  stream_max_gap REAL,
  connection_wait REAL,
  backoff REAL,
  retry_after REAL,
  remaining_requests INTEGER,
  remaining_tokens INTEGER,
  max_tokens INTEGER,
  seed INTEGER,
  server_queue_time REAL,
  server_prefill_time REAL,
  server_decode_time REAL,
  response_id TEXT,
  trace_id BLOB NOT NULL,
  span_id BLOB NOT NULL,
  parent_span_id BLOB,
  parameters INTEGER,
  attributes TEXT,             -- JSON: every attribute that has no column, or does not fit it
  details TEXT                 -- JSON: events, links, status message, trace state, dropped counts
);

-- One index for three needs. Time comes first, so that inserts append: an index on random ids would rewrite one page for
-- each span. The same span exported twice has the same start. Ids are found by a scan of this index alone.
CREATE UNIQUE INDEX spans_identity ON spans (start_time, trace_id, span_id);

-- What calls have in common that roll-ups count together.
CREATE TABLE kinds (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  operation TEXT,
  provider TEXT,
  request_model TEXT,
  response_model TEXT,
  service TEXT,
  outcome TEXT NOT NULL,
  reported INTEGER NOT NULL    -- whether the provider itself counted the tokens; estimates are not summed
);

-- What the calls of an hour and kind add up to; a call belongs to the hour that it started in. They outlive the calls.
CREATE TABLE rollups (
  id INTEGER PRIMARY KEY,
  hour INTEGER NOT NULL,       -- since the epoch
  kind INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  resends INTEGER NOT NULL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cache_read_input_tokens INTEGER,
  first_start INTEGER NOT NULL,
  last_end INTEGER NOT NULL,
  duration BLOB,               -- of completed attempts; as otel_llm.store.spread packs it: least, greatest, count of zeros,
  time_to_first_token BLOB,    -- and the counts of bins (2^((i-1)/16), 2^(i/16)] seconds
  time_per_output_token BLOB,
  queue_wait BLOB
);
CREATE UNIQUE INDEX rollups_identity ON rollups (hour, kind);

CREATE TABLE logs (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,       -- when it happened, else when it was observed
  timestamp INTEGER,
  observed_timestamp INTEGER,
  resource INTEGER NOT NULL,
  scope INTEGER,
  severity_number INTEGER,
  severity_text TEXT,
  event_name TEXT,
  trace_id BLOB,
  span_id BLOB,
  trace_flags INTEGER,
  body TEXT,                   -- JSON
  attributes TEXT,             -- JSON
  dropped_attributes INTEGER NOT NULL
);
CREATE INDEX logs_time ON logs (time);

-- A metric with its attributes: what many points share.
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  resource INTEGER NOT NULL,
  scope INTEGER,
  name TEXT NOT NULL,
  unit TEXT,
  description TEXT,
  type TEXT NOT NULL,          -- sum, gauge, histogram, exponential_histogram
  temporality INTEGER,         -- 1 delta, 2 cumulative
  monotonic INTEGER,
  attributes TEXT NOT NULL,    -- JSON
  bounds TEXT                  -- JSON: a histogram's bucket bounds
);

CREATE TABLE points (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  start_time INTEGER,
  stream INTEGER NOT NULL,
  value,                       -- no affinity: an integer stays one; NULL for histograms
  data TEXT                    -- JSON: a histogram's buckets, exemplars, values that no column can hold
);
CREATE INDEX points_time ON points (time);

-- Inference spans, one row an attempt, for people and their SQL. Stable: columns are added, never renamed. [s] throughout.
CREATE VIEW calls AS
SELECT
  spans.id AS id,
  lower(hex(spans.trace_id)) AS trace_id,
  lower(hex(spans.span_id)) AS span_id,
  lower(hex(spans.parent_span_id)) AS parent_span_id,
  strftime('%Y-%m-%dT%H:%M:%S', spans.start_time / 1000000000, 'unixepoch')
    || printf('.%06dZ', spans.start_time / 1000 % 1000000) AS start_time,
  spans.start_time / 1e9 AS start_time_unix,
  spans.duration / 1e9 AS duration,
  resources.service AS service,
  series.name AS name,
  series.operation AS operation,
  series.provider AS provider,
  coalesce(series.request_model, series.response_model) AS model,
  series.request_model AS request_model,
  series.response_model AS response_model,
  series.server_address AS server_address,
  series.server_port AS server_port,
  series.stream AS stream,
  CASE series.status WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' ELSE 'UNSET' END AS status,
  series.outcome AS outcome,
  series.error_type AS error_type,
  series.error_code AS error_code,
  series.status_code AS status_code,
  series.finish_reasons AS finish_reasons,
  series.usage_source AS usage_source,
  spans.input_tokens AS input_tokens,
  spans.output_tokens AS output_tokens,
  spans.cache_read_input_tokens AS cache_read_input_tokens,
  spans.cache_creation_input_tokens AS cache_creation_input_tokens,
  spans.reasoning_output_tokens AS reasoning_output_tokens,
  spans.time_to_first_chunk AS time_to_first_chunk,
  spans.time_to_first_token AS time_to_first_token,
  spans.time_per_output_token AS time_per_output_token,
  spans.stream_chunks AS stream_chunks,
  spans.stream_max_gap AS stream_max_gap,
  spans.connection_wait AS connection_wait,
  series.queue_name AS queue_name,
  spans.queue_wait AS queue_wait,
  spans.resend_count AS resend_count,
  spans.backoff AS backoff,
  spans.retry_after AS retry_after,
  spans.server_queue_time AS server_queue_time,
  spans.server_prefill_time AS server_prefill_time,
  spans.server_decode_time AS server_decode_time,
  spans.max_tokens AS max_tokens,
  spans.response_id AS response_id,
  parameters.content AS parameters,
  spans.attributes AS attributes
FROM spans
CROSS JOIN series ON series.id = spans.series
CROSS JOIN resources ON resources.id = spans.resource
LEFT JOIN parameters ON parameters.id = spans.parameters
WHERE series.operation IN ('chat', 'text_completion', 'generate_content', 'embeddings');
