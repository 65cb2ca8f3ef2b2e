"""What the collector `system` measures."""

from __future__ import annotations

from migmond.plugin_api import MetricDesc, MetricKind

_GAUGE, _COUNTER = MetricKind.GAUGE, MetricKind.COUNTER

CPU_BUSY = MetricDesc(
    "migmond_cpu_busy_ratio", "ratio", _GAUGE,
    "How much of a processor was in use since the last look; waiting for disks is not use.", ("cpu",),
)  # fmt: skip
CPU_MODE = MetricDesc(
    "migmond_cpu_mode_ratio", "ratio", _GAUGE,
    "Share of the time of all processors that went into a mode (user, system, iowait, steal, ...) since the last look.",
    ("mode",),
)  # fmt: skip
CPU_SECONDS = MetricDesc(
    "migmond_cpu_seconds_total", "seconds", _COUNTER, "Processor time by mode since the machine started.", ("mode",)
)
PRESSURE = MetricDesc(
    "migmond_pressure_ratio", "ratio", _GAUGE,
    "Share of the last 10 s in which some task, or every task (full), waited for cpu, memory or io (PSI avg10).",
    ("resource", "extent"),
)  # fmt: skip
PRESSURE_SECONDS = MetricDesc(
    "migmond_pressure_waiting_seconds_total", "seconds", _COUNTER,
    "Time in which some task, or every task (full), waited for cpu, memory or io (PSI total).", ("resource", "extent"),
)  # fmt: skip
MEMORY_TOTAL = MetricDesc("migmond_memory_size_bytes", "bytes", _GAUGE, "Memory of the machine.")
MEMORY_AVAILABLE = MetricDesc(
    "migmond_memory_available_bytes", "bytes", _GAUGE, "Memory that programs can get without swapping (MemAvailable)."
)
MEMORY_USED = MetricDesc(
    "migmond_memory_used_bytes", "bytes", _GAUGE, "Memory in use: what there is less what is available."
)
MEMORY_DIRTY = MetricDesc(
    "migmond_memory_dirty_bytes", "bytes", _GAUGE, "Data of files in memory that has yet to be written to disk (Dirty)."
)
MEMORY_WRITEBACK = MetricDesc(
    "migmond_memory_writeback_bytes", "bytes", _GAUGE, "Data of files that is being written to disk now (Writeback)."
)
SWAP_TOTAL = MetricDesc("migmond_swap_size_bytes", "bytes", _GAUGE, "Swap space of the machine.")
SWAP_USED = MetricDesc("migmond_swap_used_bytes", "bytes", _GAUGE, "Swap space in use.")
DISK_BYTES = MetricDesc(
    "migmond_disk_bytes_total", "bytes", _COUNTER, "What was read from and written to a disk.", ("device", "direction")
)
DISK_OPERATIONS = MetricDesc(
    "migmond_disk_operations_total", "", _COUNTER, "Requests that a disk has completed.", ("device", "direction")
)
DISK_BUSY = MetricDesc(
    "migmond_disk_busy_ratio", "ratio", _GAUGE,
    "Share of the time since the last look in which a disk had requests to work on. What works on several at a time "
    "(solid state, RAID) is not full at 1.", ("device",),
)  # fmt: skip
DISK_LATENCY = MetricDesc(
    "migmond_disk_latency_seconds", "seconds", _GAUGE,
    "Mean time from the arrival of a request at the block layer to its end, of those that ended since the last look.",
    ("device", "direction"),
)  # fmt: skip
DISK_QUEUE = MetricDesc(
    "migmond_disk_queue_requests", "", _GAUGE, "Mean number of unfinished requests of a disk since the last look.",
    ("device",),
)  # fmt: skip
NETWORK_BYTES = MetricDesc(
    "migmond_network_bytes_total", "bytes", _COUNTER, "What an interface has received and sent.",
    ("interface", "direction"),
)  # fmt: skip
NETWORK_ERRORS = MetricDesc(
    "migmond_network_errors_total", "", _COUNTER, "Packets that an interface has lost to errors.",
    ("interface", "direction"),
)  # fmt: skip
NETWORK_DROPS = MetricDesc(
    "migmond_network_dropped_total", "", _COUNTER, "Packets that an interface has dropped, mostly for want of room.",
    ("interface", "direction"),
)  # fmt: skip
ENERGY = MetricDesc(
    "migmond_energy_joules_total", "joules", _COUNTER,
    "What a zone of RAPL has used since the daemon began to look: packages of processors, their parts after a slash. "
    "`package` has its cores in it, on servers not its `dram`; `psys` is the whole board.", ("zone",),
)  # fmt: skip

METRICS = (
    CPU_BUSY, CPU_MODE, CPU_SECONDS, PRESSURE, PRESSURE_SECONDS, MEMORY_TOTAL, MEMORY_AVAILABLE, MEMORY_USED,
    MEMORY_DIRTY, MEMORY_WRITEBACK, SWAP_TOTAL, SWAP_USED, DISK_BYTES, DISK_OPERATIONS, DISK_BUSY, DISK_LATENCY,
    DISK_QUEUE, NETWORK_BYTES, NETWORK_ERRORS, NETWORK_DROPS, ENERGY,
)  # fmt: skip
