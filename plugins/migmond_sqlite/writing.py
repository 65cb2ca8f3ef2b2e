"""Each kind of change as SQL. All of these run inside one transaction in one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apsw

from migmond.domain import alert_changes as a
from migmond.domain import changes as c
from migmond_sqlite import alerts, copy_times, entries, forgetting
from migmond_sqlite import writing_records as records
from migmond_sqlite import writing_tasks as tasks

WRITING: Mapping[type[c.Change], Callable[[apsw.Connection, Any], None]] = {
    c.AddFault: tasks.add_fault,
    c.AddListing: entries.add_listing,
    c.AddRoot: tasks.add_root,
    c.AddTasks: tasks.add_tasks,
    c.BringBack: tasks.bring_back,
    c.CancelPending: tasks.cancel_pending,
    c.CancelSome: tasks.cancel_some,
    c.DirectoriesTouched: tasks.touch_directories,
    c.KeepCopyTimes: copy_times.keep,
    c.KeepKinds: tasks.keep_kinds,
    c.LeaveOut: tasks.leave_out,
    c.Promote: tasks.promote,
    c.Record: tasks.record,
    c.Refresh: tasks.refresh,
    c.Retry: tasks.retry,
    c.RetrySome: tasks.retry_some,
    c.SendTo: tasks.send_to,
    c.AddMilestone: records.add_milestone,
    c.CloseGroup: records.close_group,
    c.KeepBreakdown: records.keep_breakdown,
    c.OpenGroup: records.open_group,
    c.PruneDeliveries: records.prune_deliveries,
    c.PutDelivery: records.put_delivery,
    c.PutExecution: records.put_execution,
    c.PutIntervention: records.put_intervention,
    c.PutSession: records.put_session,
    c.RemovePlan: records.remove_plan,
    c.SavePlan: records.save_plan,
    c.SealReceipt: records.seal_receipt,
    c.ForgetExecution: forgetting.forget,
    c.ForgetSome: forgetting.forget_some,
    c.PruneSessions: forgetting.prune_sessions,
    a.PruneAlerts: alerts.prune,
    a.PutAlert: alerts.put_alert,
    a.PutRule: alerts.put_rule,
    a.PutSilence: alerts.put_silence,
    a.RemoveAlerts: alerts.remove_alerts,
    a.RemoveRule: alerts.remove_rule,
    a.RemoveSilence: alerts.remove_silence,
}
"""What carries out each; a test holds it against `Change`, and each function against its kind."""


def apply(connection: apsw.Connection, change: c.Change) -> None:
    """Carry out one change."""
    WRITING[type(change)](connection, change)
