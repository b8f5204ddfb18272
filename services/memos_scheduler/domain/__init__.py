"""The scheduler's own pure rules: plans, selection policies, jobs."""
