# Out by exit-b; by exit-a while exit-b is not there.
exit_node           = "exit-b"
fallback_exit_nodes = "exit-a"
