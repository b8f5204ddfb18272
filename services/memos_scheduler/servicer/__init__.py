"""SchedulerService on the wire."""
