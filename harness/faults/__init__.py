"""What can befall a job: each fault is injected, shown to have happened, and healed."""
