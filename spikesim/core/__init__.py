"""The ground floor: knows no neuron, no network, no hardware.

`seeds` and `ledger` are the two arguments that travel with every run, `operator` is the seam between layers
and crossbars, `events` the event stream, `kernel` how numba is used here, `registry` how a folder becomes a family.
"""
