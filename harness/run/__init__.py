"""One execution of the harness: its id, its folders, and the proof that it is alive."""
