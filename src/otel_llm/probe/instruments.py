"""Room probe: every instrument that it reads, with the condition under which it is absent. Data only.

`observation` registers them, ``otel-llm explain`` and the reference page tell them.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from otel_llm import semconv

Kind: TypeAlias = Literal["gauge", "counter", "updowncounter"]


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of this room.

    Attributes:
        kind: ``gauge``; ``counter`` of what only grows; ``updowncounter`` of what can be summed over series.
        unit: In UCUM, as OpenTelemetry writes it.
        meaning: What it says, in a sentence or two.
        formula: How it is worked out, ``None`` where it is simply read.
        source: Who says the value.
        absent: When there is no value; ``None`` when there always is one.
        own: A counter that began at 0 with this process, not before it.
        words: Short words that people use for it.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    formula: str | None = None
    absent: str | None = None
    own: bool = False
    words: tuple[str, ...] = ()


_PROC: Final = "the kernel (`/proc`); psutil where there is none"
_CGROUP: Final = "the kernel (`/proc`, and control groups where they set a limit); psutil where there is none"
_UNREADABLE: Final = "the kernel does not let it be read"
_OTHER: Final = "another process of the host reports it"

HOST: Final = (
    Instrument(
        name=semconv.METRIC_SYSTEM_CPU_UTILIZATION,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Share of CPU time since the reading before. The series without `cpu.mode` is the whole, neither idle "
        "nor waiting for I/O. In a container with a limit it is a share of the limit, and the modes are `user`, "
        "`system` and `idle`.",
        formula="time spent / (time passed x CPUs, or the container's limit)",
        source=_CGROUP,
        absent=f"it is the first reading, {_UNREADABLE}, or {_OTHER}",
        words=("cpu",),
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_LOAD_1,
        kind="gauge",
        unit=semconv.UNIT_THREADS,
        meaning="Threads of the host that ran or waited to, averaged over a minute; of the host in a container too.",
        source=_PROC,
        absent=_OTHER,
        words=("load",),
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_LOAD_5,
        kind="gauge",
        unit=semconv.UNIT_THREADS,
        meaning="The same over 5 minutes.",
        source=_PROC,
        absent=_OTHER,
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_LOAD_15,
        kind="gauge",
        unit=semconv.UNIT_THREADS,
        meaning="The same over 15 minutes.",
        source=_PROC,
        absent=_OTHER,
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_MEMORY_USAGE,
        kind="updowncounter",
        unit=semconv.UNIT_BYTES,
        meaning="Memory by `system.memory.state`; the states add up to the limit.",
        source=_CGROUP,
        absent=f"{_UNREADABLE}, or {_OTHER}",
        words=("memory",),
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_MEMORY_LIMIT,
        kind="updowncounter",
        unit=semconv.UNIT_BYTES,
        meaning="Memory that there is: the container's limit where there is one, else the machine's.",
        source=_CGROUP,
        absent=f"{_UNREADABLE}, or {_OTHER}",
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_MEMORY_UTILIZATION,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Share of the memory by state. The series without `system.memory.state` is the whole: what cannot be "
        "had, a cache that the kernel would give back left out.",
        formula="(limit - available) / limit; in a container (usage - inactive file pages) / limit",
        source=_CGROUP,
        absent=f"{_UNREADABLE}, or {_OTHER}",
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_PAGING_USAGE,
        kind="updowncounter",
        unit=semconv.UNIT_BYTES,
        meaning="Swap by `system.paging.state`.",
        source=_PROC,
        absent=f"the host has no swap, {_UNREADABLE}, or {_OTHER}",
        words=("swap",),
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_PAGING_UTILIZATION,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Share of the swap by `system.paging.state`.",
        source=_PROC,
        absent=f"the host has no swap, {_UNREADABLE}, or {_OTHER}",
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_DISK_IO,
        kind="counter",
        unit=semconv.UNIT_BYTES,
        meaning="Bytes read from and written to all disks together since the first reading; what lies on top of "
        "another disk (LVM, RAID, loop) is not counted twice.",
        source=_PROC,
        absent=f"there is no disk, {_UNREADABLE}, or {_OTHER}",
        words=("disk",),
    ),
    Instrument(
        name=semconv.METRIC_SYSTEM_NETWORK_IO,
        kind="counter",
        unit=semconv.UNIT_BYTES,
        meaning="Bytes received and sent by all network cards together since the first reading, the loopback left out; "
        "in a container by its interfaces.",
        source=_PROC,
        absent=f"there is no network, {_UNREADABLE}, or {_OTHER}",
        words=("network",),
    ),
)
"""Of the machine or container: reported once per host."""

PROCESS: Final = (
    Instrument(
        name=semconv.METRIC_PROCESS_CPU_TIME,
        kind="counter",
        unit=semconv.UNIT_SECONDS,
        meaning="CPU time of this process by `cpu.mode`.",
        source=_PROC,
        own=True,
    ),
    Instrument(
        name=semconv.METRIC_PROCESS_CPU_UTILIZATION,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Share of the CPUs that this process may use, since the reading before.",
        formula="CPU time / (time passed x CPUs that it may run on, or the container's limit)",
        source=_CGROUP,
        absent="it is the first reading",
    ),
    Instrument(
        name=semconv.METRIC_PROCESS_MEMORY_USAGE,
        kind="updowncounter",
        unit=semconv.UNIT_BYTES,
        meaning="Memory of this process that is in RAM (resident set).",
        source=_PROC,
        absent=_UNREADABLE,
        words=("rss",),
    ),
    Instrument(
        name=semconv.METRIC_PROCESS_THREAD_COUNT,
        kind="updowncounter",
        unit=semconv.UNIT_THREADS,
        meaning="Threads of this process.",
        source=_PROC,
        absent=_UNREADABLE,
    ),
    Instrument(
        name=semconv.METRIC_PROCESS_FILE_DESCRIPTOR_COUNT,
        kind="updowncounter",
        unit=semconv.UNIT_FILE_DESCRIPTORS,
        meaning="Open files, sockets and pipes of this process.",
        source=_PROC,
        absent=_UNREADABLE,
        words=("open_files",),
    ),
)
"""Of this process: reported by each."""

LOOPS: Final = (
    Instrument(
        name=semconv.METRIC_PROCESS_EVENT_LOOP_LAG,
        kind="gauge",
        unit=semconv.UNIT_SECONDS,
        meaning="How late the event loop answered a thread that asked it to call back at once: the longest since the "
        "reading before, over the loops that calls were made on. While it is late, so is every coroutine on it, and "
        "waits for a model look longer than they are. A loop is asked once a second, so a shorter block may pass "
        "unseen; other threads that keep the interpreter busy delay a loop too.",
        formula="time of the answer - time of the question; while there is no answer, what has passed so far",
        source="otel-llm's own clock, on a thread beside the loop",
        absent="no loop that a call was made on has run since the reading before, or the last call began over a "
        "minute ago",
        words=("event loop", "loop lag"),
    ),
)
"""Of this process's event loops: reported by each."""

SELF: Final = (
    Instrument(
        name=semconv.METRIC_SELF_SPANS,
        kind="counter",
        unit=semconv.UNIT_SPANS,
        meaning="Finished spans by what became of them (`otel_llm.self.state`), as each part "
        "(`otel_llm.self.part`) saw it: the store has `seen`, `stored`, `dropped`; the alerts `seen`, `judged`, "
        "`dropped`; exporters, as of OTLP, `exported`, `dropped`. What is `dropped` has an `otel_llm.self.reason`; "
        "for the store `duplicate` is a span that was there already. What is seen and neither stored nor dropped "
        "waits in the queue.",
        source="counted by otel-llm; exporters where this distribution set them up",
        absent="the part saw no span, or is not in use",
        own=True,
        words=("dropped",),
    ),
    Instrument(
        name=semconv.METRIC_SELF_QUEUE_DEPTH,
        kind="gauge",
        unit=semconv.UNIT_ITEMS,
        meaning="What waits in otel-llm's own queues, by `otel_llm.self.part`: in the store's spans, log records and "
        "collections of metrics (2,048 at most), in the alerts' finished calls (65,536), in the exporters' spans.",
        source="counted by otel-llm; exporters where this distribution set them up",
        absent="the part is not in use",
    ),
    Instrument(
        name=semconv.METRIC_SELF_CPU_UTILIZATION,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Share of one processor that otel-llm's own threads took since the reading before, by "
        "`otel_llm.self.part`: `store`, `alerts`, `delivery` (messages of alerts), `probe` (cards and model servers), "
        "`energy`, `loops`, `reaper` (answers that nobody read to their end). Reading the machine is "
        "in `store`, whose thread collects. What "
        "recording takes on the threads of the application is not in it, nor what the SDK's exporters take.",
        formula="CPU time of the part's threads / time passed",
        source="the threads' own clocks",
        absent="it is the first reading, or the part has had no thread",
        words=("overhead",),
    ),
    Instrument(
        name=semconv.METRIC_SELF_FLEET_JOINED,
        kind="gauge",
        unit=semconv.UNIT_RATIO,
        meaning="Whether alerts are judged together with the other hosts of `redis.url` (1), or on this host alone "
        "since Redis does not answer (0).",
        source="counted by otel-llm",
        absent="no Redis is set, or nothing was judged yet in this process",
        words=("joined",),
    ),
    Instrument(
        name=semconv.METRIC_SELF_RESTARTS,
        kind="gauge",
        unit=semconv.UNIT_RESTARTS,
        meaning="How often each of otel-llm's background loops (`otel_llm.self.part`) crashed and was begun again in "
        "this process, with what it does now (`otel_llm.self.state`: `running`, `idle` until there is work, `resting` "
        "after a crash, `stopped`) and, once it crashed, with the type and place of the last error "
        "(`otel_llm.self.reason`).",
        source="counted by otel-llm",
        absent="the loop has had nothing to do in this process",
        words=("loops", "crash"),
    ),
)
"""Of otel-llm itself: reported by each process."""

GPU: Final[tuple[Instrument, ...]] = (
    Instrument(
        name="hw.gpu.utilization",
        kind="gauge",
        unit="1",
        meaning="Share of the last sampling period in which the card was at work, by `hw.gpu.task`: `general` "
        "(compute), `memory` (the memory's bus), `encoder`, `decoder`.",
        source="NVML; amdsmi (`general`, `memory`)",
        absent="where the card does not say it; also with MIG on",
        words=("gpu", "gpu utilization"),
    ),
    Instrument(
        name="hw.gpu.memory.usage",
        kind="updowncounter",
        unit="By",
        meaning="Memory in use, without what the driver reserves. A MIG instance has a series of its own, with its "
        "card as `hw.parent`: it is part of its card's.",
        source="NVML; amdsmi",
        absent="where the card does not say it",
        words=("gpu memory", "vram"),
    ),
    Instrument(
        name="hw.gpu.memory.limit",
        kind="updowncounter",
        unit="By",
        meaning="Memory that the card, or the MIG instance, has.",
        source="NVML; amdsmi",
        absent="where the card does not say it",
    ),
    Instrument(
        name="hw.gpu.memory.utilization",
        kind="gauge",
        unit="1",
        meaning="Share of the memory in use. Servers that reserve memory beforehand (vLLM: 0.9) hold it at that.",
        formula="hw.gpu.memory.usage / hw.gpu.memory.limit",
        source="NVML; amdsmi",
        absent="where the card does not say it",
    ),
    Instrument(
        name="hw.gpu.io",
        kind="counter",
        unit="By",
        meaning="Bytes over PCIe since the first reading, by `network.io.direction`: `transmit`, `receive`.",
        source="NVML",
        absent="where the card has no such counter of 64 bits; `otel_llm.gpu.throughput` is there instead",
        words=("pcie",),
    ),
    Instrument(
        name="otel_llm.gpu.throughput",
        kind="gauge",
        unit="By/s",
        meaning="Bytes a second over PCIe, of one sample of 20 ms, by `network.io.direction`.",
        source="NVML, in KB/s; a KB is taken for 1,000 bytes",
        absent="where the card counts `hw.gpu.io`, or samples nothing",
    ),
    Instrument(
        name="hw.power",
        kind="gauge",
        unit="W",
        meaning="Power that the whole board draws; on most cards since Ampere the mean of the last second.",
        source="NVML; amdsmi",
        absent="where the card does not measure it",
        words=("power", "watts"),
    ),
    Instrument(
        name="hw.energy",
        kind="counter",
        unit="J",
        meaning="Energy that the board took since the first reading. `otel_llm.energy.method` says how it is known: "
        "`counter` is the card's own, `sampled` is made of samples of power.",
        formula="the counter's growth; else the trapezoids of hw.power",
        source="NVML; amdsmi",
        absent="where the card has neither counter nor power",
        words=("joules",),
    ),
    Instrument(
        name="hw.temperature",
        kind="gauge",
        unit="Cel",
        meaning="Temperature, by `hw.sensor_location`: `gpu` (amdsmi: the hottest point), `memory`.",
        source="NVML; amdsmi",
        absent="where the card has no such sensor",
        words=("gpu temperature",),
    ),
    Instrument(
        name="hw.fan.speed_ratio",
        kind="gauge",
        unit="1",
        meaning="Fan speed as a share of its most; what the card wants it to be.",
        source="NVML; amdsmi",
        absent="where the card has no fan of its own",
    ),
    Instrument(
        name="hw.errors",
        kind="counter",
        unit="{error}",
        meaning="Errors of the card's memory since the first reading, by `error.type`: `corrected`, `uncorrected`.",
        source="NVML; amdsmi",
        absent="where the card has no ECC, or it is off",
        words=("ecc",),
    ),
    Instrument(
        name="otel_llm.gpu.clock",
        kind="gauge",
        unit="Hz",
        meaning="Clock, by `otel_llm.gpu.clock.domain`: `graphics`, `sm`, `memory`.",
        source="NVML; amdsmi (`graphics`, `memory`)",
        absent="where the card does not say it",
    ),
    Instrument(
        name="otel_llm.gpu.throttle",
        kind="gauge",
        unit="1",
        meaning="1 while the card's clocks are held down for `otel_llm.gpu.throttle.reason`, else 0: `power_cap`, "
        "`hardware_slowdown`, `sync_boost`, `thermal`, `hardware_thermal`, `power_brake`.",
        source="NVML",
        absent="where the card does not say it",
        words=("throttling",),
    ),
    Instrument(
        name="otel_llm.self.gpu_read_errors",
        kind="counter",
        unit="{error}",
        meaning="Questions that a card should have answered and did not, by `otel_llm.self.where`: the field.",
        source="counted here; a field that a card does not support is no error",
        absent="while there was none",
        own=True,
    ),
)
"""Of the cards: reported once per host."""

GPU_PROCESS: Final[tuple[Instrument, ...]] = (
    Instrument(
        name="otel_llm.process.gpu.memory",
        kind="updowncounter",
        unit="By",
        meaning="GPU memory that this process holds, by card.",
        source="NVML",
        absent="where the process does not use CUDA, or the driver does not tell processes apart",
    ),
)
"""Of this process on the cards: reported by each."""

SERVER: Final[tuple[Instrument, ...]] = (
    Instrument(
        name=semconv.METRIC_SERVER_RUNNING,
        kind="gauge",
        unit="{request}",
        meaning="Requests that the model server works on.",
        source="the server's `/metrics` page",
        absent="where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_WAITING,
        kind="gauge",
        unit="{request}",
        meaning="Requests that wait at the model server.",
        source="the server's `/metrics` page",
        absent="where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_KV_CACHE,
        kind="gauge",
        unit="1",
        meaning="Share of the server's KV cache in use; of several engines the fullest.",
        source="the server's `/metrics` page",
        absent="where the server's page does not say it: TGI, and llama.cpp since 2025",
        words=("kv cache",),
    ),
    Instrument(
        name=semconv.METRIC_SERVER_CACHE_HITS,
        kind="gauge",
        unit="1",
        meaning="Share of prompt tokens that the server's prefix cache answered since the look before.",
        source="the server's `/metrics` page",
        absent="while no prompt came, and where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_INPUT_RATE,
        kind="gauge",
        unit="{token}/s",
        meaning="Prompt tokens that the server processed a second since the look before, for all its clients.",
        source="the server's `/metrics` page",
        absent="at the first look, and where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_OUTPUT_RATE,
        kind="gauge",
        unit="{token}/s",
        meaning="Tokens that the server generated a second since the look before, for all its clients.",
        source="the server's `/metrics` page",
        absent="at the first look, and where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_PREFILL_RATE,
        kind="gauge",
        unit="{token}/s",
        meaning="Prompt tokens processed in a second of work on prompts, since the look before.",
        source="the server's `/metrics` page",
        absent="while no prompt came, and where the server's page does not say it",
        words=("prefill rate",),
    ),
    Instrument(
        name=semconv.METRIC_SERVER_DECODE_RATE,
        kind="gauge",
        unit="{token}/s",
        meaning="Tokens generated in a second of a request's generation, since the look before.",
        source="the server's `/metrics` page",
        absent="while nothing was generated, and where the server's page does not say it",
        words=("decode rate",),
    ),
    Instrument(
        name=semconv.METRIC_SERVER_QUEUE_TIME,
        kind="gauge",
        unit="s",
        meaning="Mean wait before work of the requests that began since the look before: a histogram does not tell "
        "of one request.",
        source="the server's `/metrics` page",
        absent="while none began, and where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_PREFILL_TIME,
        kind="gauge",
        unit="s",
        meaning="Mean time of prefill of the requests that ended since the look before.",
        source="the server's `/metrics` page",
        absent="while none ended, and where the server's page does not say it",
    ),
    Instrument(
        name=semconv.METRIC_SERVER_DECODE_TIME,
        kind="gauge",
        unit="s",
        meaning="Mean time of generation of the requests that ended since the look before.",
        source="the server's `/metrics` page",
        absent="while none ended, and where the server's page does not say it",
    ),
)
"""Of model servers: each reported once per host."""

INSTRUMENTS: Final = HOST + PROCESS + LOOPS + GPU + GPU_PROCESS + SERVER + SELF
"""All of them."""
