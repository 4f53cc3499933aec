"""The promise for real: the command line as a process, a real OpenBao on disk, the sandbox, and SIGKILL."""
