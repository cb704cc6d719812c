# Out by exit-a; by exit-b while exit-a is not there.
exit_node           = "exit-a"
fallback_exit_nodes = "exit-b"
