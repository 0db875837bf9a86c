"""The command line: one file a command, each parse → public API → print."""
