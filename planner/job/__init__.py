"""What a run is to train on, and how long that takes."""

from planner.job.job import Job
from planner.job.job_time import JobTime, Part, job_time

__all__ = ["Job", "JobTime", "Part", "job_time"]
