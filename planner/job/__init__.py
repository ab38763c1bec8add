"""What a run is to train on, and how long that takes."""

from planner.job.job import Job
from planner.job.job_time import JobTime, Part, job_time
from planner.job.longest import run_for

__all__ = ["Job", "JobTime", "Part", "job_time", "run_for"]
