"""Pure decisions: cluster state and running routes in, plans out. No I/O, no clock, no log; time is an argument."""
