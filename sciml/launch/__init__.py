"""SLURM: a site's figures and a run become a job script; jobs are submitted, watched, cancelled.

SLURM and srun place the work and Lightning distributes it; nothing here schedules anything.
"""
