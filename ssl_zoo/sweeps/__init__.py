"""Many runs: which, where, how many at a time, and what becomes of each."""
