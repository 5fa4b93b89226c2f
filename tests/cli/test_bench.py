"""``summary --format bench``: the rows of ``vllm bench serve``, and none that nobody measured."""

from otel_llm.cli.bench import lines

GROUP = {
    "attempts": 120,
    "calls": 110,
    "failed_attempts": 10,
    "cancelled": 3,
    "abandoned": 2,
    "input_tokens": 1000,
    "output_tokens": 3000,
    "calls_per_second": 11.0,
    "tokens_per_second": 300.0,
    "concurrency": {"mean": 2.5, "max": 7},
    "time_to_first_token": {"mean": 0.0425, "p50": 0.04, "p99": None},
    "time_per_output_token": None,
    "duration": {"mean": 1.0, "p50": 0.9, "p99": 2.5},
}


def test_rows_are_named_and_set_as_vllm_does():
    assert list(lines(GROUP)) == [
        "============ Serving Benchmark Result ============",
        "Successful requests:                     105",
        "Failed requests:                         10",
        "Benchmark duration (s):                  10.00",
        "Total input tokens:                      1000",
        "Total generated tokens:                  3000",
        "Request throughput (req/s):              10.50",
        "Output token throughput (tok/s):         300.00",
        "Peak concurrent requests:                7.00",
        "Total token throughput (tok/s):          400.00",
        "---------------Time to First Token----------------",
        "Mean TTFT (ms):                          42.50",
        "Median TTFT (ms):                        40.00",
        "----------------End-to-end Latency----------------",
        "Mean E2EL (ms):                          1000.00",
        "Median E2EL (ms):                        900.00",
        "P99 E2EL (ms):                           2500.00",
        "==================================================",
    ]


def test_what_nobody_measured_has_no_row():
    nothing = dict.fromkeys(GROUP) | dict.fromkeys(("attempts", "calls"), 1)
    told = list(lines(nothing | dict.fromkeys(("failed_attempts", "cancelled", "abandoned"), 0)))
    assert [line.partition(":")[0] for line in told[1:-1]] == ["Successful requests", "Failed requests"]
