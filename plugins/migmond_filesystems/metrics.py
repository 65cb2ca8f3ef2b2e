"""What the collector `filesystems` measures."""

from __future__ import annotations

from migmond.plugin_api import MetricDesc, MetricKind

_GAUGE = MetricKind.GAUGE
_LABELS = ("mount", "source")
_OF_USER = (*_LABELS, "uid")

SIZE = MetricDesc("migmond_filesystem_size_bytes", "bytes", _GAUGE, "Size of a file system.", _LABELS)
AVAILABLE = MetricDesc(
    "migmond_filesystem_available_bytes", "bytes", _GAUGE, "Room for users other than root.", _LABELS
)
FREE = MetricDesc("migmond_filesystem_free_bytes", "bytes", _GAUGE, "Room with what is reserved for root.", _LABELS)
INODES = MetricDesc(
    "migmond_filesystem_inodes", "", _GAUGE, "How many files a file system can have, where that is fixed.", _LABELS
)
INODES_FREE = MetricDesc(
    "migmond_filesystem_free_inodes", "", _GAUGE, "How many more files users other than root can make.", _LABELS
)
READ_ONLY = MetricDesc(
    "migmond_filesystem_read_only", "", _GAUGE, "1 when nothing can be written to it, 0 when something can.", _LABELS
)
ANSWER = MetricDesc(
    "migmond_filesystem_answer_seconds", "seconds", _GAUGE, "How long it took to answer how much room it has.", _LABELS
)
QUOTA_LIMIT = MetricDesc(
    "migmond_filesystem_quota_limit_bytes", "bytes", _GAUGE,
    "Most that a user may have there: the hard limit of the quota, or the soft one.", _OF_USER,
)  # fmt: skip
QUOTA_USED = MetricDesc("migmond_filesystem_quota_used_bytes", "bytes", _GAUGE, "What a user has there.", _OF_USER)
QUOTA_INODES = MetricDesc(
    "migmond_filesystem_quota_limit_inodes", "", _GAUGE, "Most files that a user may have there.", _OF_USER
)
QUOTA_INODES_USED = MetricDesc(
    "migmond_filesystem_quota_used_inodes", "", _GAUGE, "Files that a user has there.", _OF_USER
)

OF_MOUNT = (SIZE, AVAILABLE, FREE, INODES, INODES_FREE, READ_ONLY, ANSWER)
OF_QUOTA = (QUOTA_LIMIT, QUOTA_USED, QUOTA_INODES, QUOTA_INODES_USED)
METRICS = (*OF_MOUNT, *OF_QUOTA)
