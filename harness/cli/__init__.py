"""The command line: it parses, calls one function, renders, and decides nothing."""
