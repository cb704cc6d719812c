"""What a user may do to a run, or give it: killed, interrupted, two at once, bad input, a job that leaks."""
