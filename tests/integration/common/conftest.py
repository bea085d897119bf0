from support.running import nothing_runs_on

__all__ = ["nothing_runs_on"]
