-- Schema 3: what calls cost and what energy they took, on spans and in roll-ups, and the time that calls were under way.

ALTER TABLE series ADD COLUMN service_tier TEXT;
ALTER TABLE series ADD COLUMN cost_currency TEXT;
ALTER TABLE series ADD COLUMN cost_source TEXT;
ALTER TABLE series ADD COLUMN energy_method TEXT;

ALTER TABLE spans ADD COLUMN cost REAL;
ALTER TABLE spans ADD COLUMN energy REAL;
ALTER TABLE spans ADD COLUMN energy_idle REAL;

ALTER TABLE kinds ADD COLUMN currency TEXT;

ALTER TABLE rollups ADD COLUMN busy INTEGER;           -- all durations together [ns]; NULL in roll-ups of schema 2
ALTER TABLE rollups ADD COLUMN cost REAL;
ALTER TABLE rollups ADD COLUMN priced INTEGER;         -- how many attempts have a cost
ALTER TABLE rollups ADD COLUMN energy REAL;
ALTER TABLE rollups ADD COLUMN energy_output_tokens INTEGER;  -- of attempts that have an energy

-- Inference spans, one row an attempt, for people and their SQL. Stable: columns are added, never renamed. [s] throughout.
DROP VIEW calls;
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
  series.service_tier AS service_tier,
  spans.cost AS cost,
  series.cost_currency AS cost_currency,
  series.cost_source AS cost_source,
  spans.energy AS energy,
  spans.energy_idle AS energy_idle,
  series.energy_method AS energy_method,
  parameters.content AS parameters,
  spans.attributes AS attributes
FROM spans
CROSS JOIN series ON series.id = spans.series
CROSS JOIN resources ON resources.id = spans.resource
LEFT JOIN parameters ON parameters.id = spans.parameters
WHERE series.operation IN ('chat', 'text_completion', 'generate_content', 'embeddings');
